import { EventEmitter } from "node:events";
import { getSystemErrorName } from "node:util";
import { ECANCELED, ENOBUFS } from "./abi.ts";
import type { ReadSlot } from "./read-memory.ts";
import { MAX_PIECES, type Ring, type RingStream } from "./ring.ts";
import { MAX_COPIED_BYTES, type Piece } from "./send-memory.ts";
import type { SocketHandle, SocketName } from "./socket-handle.ts";

/** Bytes that wait to be sent at which `write` asks to wait for `drain`. */
const HIGH_WATER_BYTES = 65_536;

/**
 * A read that brings so much is likely followed by more. Read again and again without being asked, such a connection would take the memory
 * of all: of 64 uploads some waited for a second.
 */
const MUCH_BYTES = 16_384;
/** So many reads that bring less show that it is over. */
const SINGLE_READS = 8;

/** The queue of a connection that has nothing to send, which most have most of the time. */
const NONE: Piece[] = [];
/** Queues that others may use. */
const freeQueues: Piece[][] = [];
const MAX_FREE_QUEUES = 256;

/** Whoever takes what is read, such as a `SocketReader` of `@sluice/core`. */
export interface StreamReader {
  /** The first `bytes` of `buffer` came. @returns Memory to go on with: `buffer`, unless somebody has kept some of it. */
  received(buffer: Buffer, bytes: number): Buffer;
}

type Taken = (error?: Error | null) => void;

/**
 * The connection of a `net.Socket`, read and written by a {@link Ring}, with as much of the socket's own ways as a proxy needs: those of a
 * `ByteStream` of `@sluice/core`. The descriptor stays libuv's, which closes it.
 *
 * What is written leaves when the ring is next given to the system, which is behind the event that is under way; large pieces at once,
 * because their memory is not ours.
 */
export class UringStream extends EventEmitter implements RingStream {
  destroyed = false;
  errored: Error | null = null;
  /** Bytes written that the system does not have. */
  writableLength = 0;
  /** Of those, the ones whose memory belongs to whoever wrote them. */
  lentLength = 0;
  bytesRead = 0;
  #sentBytes = 0;
  readonly #ring: Ring;
  readonly #id: number;
  readonly #fd: number;
  readonly #handle: SocketHandle;
  readonly #reader: StreamReader;
  /** Results of receiving will come. */
  #receives = false;
  #paused = true;
  /** Reads that are each asked for, since one brought much. */
  #singleReads = 0;
  /** What came while paused, or behind that. */
  #early: Buffer[] | undefined = undefined;
  #peerEnded = false;
  /** `end` was told. */
  #peerEndTold = false;
  #ended = false;
  /** Our direction is ended, behind all that was written. */
  #finished = false;
  #corked = 0;
  #queue: Piece[] = NONE;
  /** How many of the queue are being sent, and their bytes. */
  #sending = 0;
  #sendingBytes = 0;
  #wantsDrain = false;
  /** Why sending failed: told when all that the peer had said before is read. */
  #writeError: Error | undefined = undefined;
  #byReset = false;
  #closed = false;
  #referenced = true;

  /** @internal By `ioUring().adopt`. */
  constructor(ring: Ring, handle: SocketHandle, reader: StreamReader) {
    super();
    nameEvents(this);
    this.#ring = ring;
    this.#handle = handle;
    this.#fd = handle.fd;
    this.#reader = reader;
    this.#id = ring.add(this);
    ring.ref();
  }

  /** As a `net.Socket` has it, for those who need the descriptor, or ask whether what was written moves. */
  get _handle(): Pick<UringStream, "fd" | "writeQueueSize" | "getpeername"> | null {
    return this.#closed ? null : this;
  }

  /** @internal Of {@link _handle}. */
  get fd(): number {
    return this.#closed ? -1 : this.#fd;
  }

  /** @internal Of {@link _handle}. */
  get writeQueueSize(): number {
    return this.writableLength;
  }

  /** @internal Of {@link _handle}: fills in the address of the other side; another value than 0 is an error. */
  getpeername(into: SocketName): number {
    return (this.#closed ? undefined : this.#handle.getpeername?.(into)) ?? -1;
  }

  /** With those that wait to be sent, as a `net.Socket` counts. */
  get bytesWritten(): number {
    return this.#sentBytes + this.writableLength;
  }

  get remoteAddress(): string | undefined {
    return this.#peerName().address;
  }

  get remotePort(): number | undefined {
    return this.#peerName().port;
  }

  get localAddress(): string | undefined {
    return this.#ownName().address;
  }

  get localPort(): number | undefined {
    return this.#ownName().port;
  }

  #peerName(): SocketName {
    const name: SocketName = {};
    this.getpeername(name);
    return name;
  }

  #ownName(): SocketName {
    const name: SocketName = {};
    if (!this.#closed) this.#handle.getsockname?.(name);
    return name;
  }

  ref(): this {
    if (!this.#referenced && !this.#closed) this.#ring.ref();
    this.#referenced = true;
    return this;
  }

  unref(): this {
    if (this.#referenced && !this.#closed) this.#ring.unref();
    this.#referenced = false;
    return this;
  }

  pause(): this {
    if (!this.#paused && this.#receives && !this.destroyed) this.#ring.cancelRecv(this.#id);
    this.#paused = true;
    return this;
  }

  resume(): this {
    if (!this.#paused) return this;
    this.#paused = false;
    if (this.#early !== undefined || this.#peerEnded) process.nextTick(giveEarly, this);
    else this.#receive();
    return this;
  }

  #receive(): void {
    if (this.#receives || this.destroyed || this.#peerEnded) return;
    this.#receives = true;
    this.#ring.recv(this.#id, this.#fd, this.#singleReads === 0);
  }

  /** @internal */
  onRecv(result: number, slot: ReadSlot | undefined, more: boolean): void {
    if (!more) this.#receives = false;
    if (this.destroyed) this.#closeIfOver();
    else if (result > 0) this.#received(result, slot!, more);
    else if (result === 0) this.#peerHasEnded();
    else if (result !== ENOBUFS && result !== ECANCELED) this.#giveUp(this.#writeError ?? systemError(result, "read"));
    // It ends where there was no memory, or where it was asked to and somebody wants more all the same.
    if (!more && !this.#paused) this.#receive();
  }

  #received(bytes: number, slot: ReadSlot, more: boolean): void {
    this.bytesRead += bytes;
    if (bytes >= MUCH_BYTES) {
      this.#singleReads = SINGLE_READS;
      if (more && !this.#paused) this.#ring.cancelRecv(this.#id);
    } else if (this.#singleReads > 0) this.#singleReads--;
    if (!this.#paused && this.#early === undefined) slot.buffer = this.#reader.received(slot.buffer, bytes);
    else (this.#early ??= []).push(Buffer.from(slot.buffer.subarray(0, bytes)));
  }

  #peerHasEnded(): void {
    // Sending has had the error of the connection: for all we know it is a reset that looks like an end to reading, now.
    if (this.#writeError !== undefined) {
      this.#giveUp(this.#writeError);
      return;
    }
    this.#peerEnded = true;
    if (!this.#paused && this.#early === undefined) this.#tellPeerEnd();
  }

  /** @internal What came while paused, unless it is paused again. */
  giveEarly(): void {
    this.#giveHeld();
    if (this.#paused || this.destroyed) return;
    if (this.#peerEnded) this.#tellPeerEnd();
    else this.#receive();
  }

  #giveHeld(): void {
    while (!this.#paused && !this.destroyed && this.#early !== undefined) {
      const piece = this.#early.shift()!;
      if (this.#early.length === 0) this.#early = undefined;
      this.#reader.received(piece, piece.length);
    }
  }

  #tellPeerEnd(): void {
    if (this.#peerEndTold) return;
    this.#peerEndTold = true;
    this.emit("end");
    this.#destroyIfOver();
  }

  /** As a socket does once both directions are ended. */
  #destroyIfOver(): void {
    if (this.#peerEndTold && this.#finished) this.destroy();
  }

  write(chunk: Uint8Array | string, encodingOrTaken?: "latin1" | Taken): boolean {
    const taken = typeof encodingOrTaken === "function" ? encodingOrTaken : undefined;
    const refusal = this.#whyNotWritable();
    if (refusal !== undefined) {
      if (taken !== undefined) process.nextTick(taken, refusal);
      return false;
    }
    const { length } = chunk;
    if (length > 0) {
      const { sends } = this.#ring;
      // Corked, it is known later how much it is in all.
      const copied = typeof chunk === "string" || (length <= MAX_COPIED_BYTES && this.#corked === 0);
      if (this.#queue === NONE) this.#queue = freeQueues.pop() ?? [];
      this.#queue.push(copied ? sends.copied(chunk, taken) : sends.lent(chunk, taken));
      this.writableLength += length;
      if (!copied) this.lentLength += length;
      if (this.#corked === 0) this.#send();
    } else if (taken !== undefined) process.nextTick(taken);
    if (this.writableLength < HIGH_WATER_BYTES) return true;
    this.#wantsDrain = true;
    return false;
  }

  #whyNotWritable(): Error | undefined {
    if (this.destroyed) return this.errored ?? systemError(ECANCELED, "write");
    if (this.#ended) return new Error("write after end");
    return this.#writeError;
  }

  cork(): void {
    this.#corked++;
  }

  uncork(): void {
    if (this.#corked === 0 || --this.#corked > 0) return;
    if (this.lentLength > 0 && this.lentLength <= MAX_COPIED_BYTES && this.#sending === 0) this.#copyLent();
    this.#send();
  }

  #copyLent(): void {
    const { sends } = this.#ring;
    for (const [i, { memory, length, lent, taken }] of this.#queue.entries()) {
      // Of the first some may have left.
      if (lent) this.#queue[i] = sends.copied(memory!.subarray(memory!.length - length), taken);
    }
    this.lentLength = 0;
  }

  #send(): void {
    const queue = this.#queue;
    if (this.#sending > 0 || queue.length === 0 || this.destroyed || this.#writeError !== undefined) return;
    const pieces = queue.length > MAX_PIECES ? queue.slice(0, MAX_PIECES) : queue;
    let bytes = 0;
    for (const { length } of pieces) bytes += length;
    this.#sending = pieces.length;
    this.#sendingBytes = bytes;
    this.#ring.send(this.#id, this.#fd, pieces);
    if (this.lentLength > 0 || this.#ring.exiting) this.#ring.flush();
  }

  /** @internal */
  onSend(result: number): void {
    const pieces = this.#sending;
    this.#sending = 0;
    if (result < 0) {
      this.#sendFailed(result);
      return;
    }
    this.#sentBytes += result;
    this.writableLength -= result;
    if (result === this.#sendingBytes) this.#leave(pieces);
    else this.#leavePartly(result);
    if (this.destroyed) {
      this.#closeIfOver();
      return;
    }
    if (this.#queue.length > 0) {
      if (this.#corked === 0) this.#send();
      return;
    }
    if (this.#wantsDrain) {
      this.#wantsDrain = false;
      process.nextTick(tellDrain, this);
    }
    if (this.#ended) this.#finish();
  }

  #leave(pieces: number): void {
    const queue = this.#queue;
    for (let i = 0; i < pieces; i++) this.#hasLeft(queue[i]!);
    if (pieces < queue.length) queue.splice(0, pieces);
    else {
      queue.length = 0;
      this.#queue = NONE;
      if (freeQueues.length < MAX_FREE_QUEUES) freeQueues.push(queue);
    }
  }

  /** The system had no room for more. That it took some shows that the peer goes on. */
  #leavePartly(bytes: number): void {
    let rest = bytes;
    while (rest > 0 && rest >= this.#queue[0]!.length) {
      rest -= this.#queue[0]!.length;
      this.#leave(1);
    }
    const next = this.#queue[0]!;
    next.address += rest;
    next.length -= rest;
    if (next.lent) this.lentLength -= rest;
  }

  #hasLeft(piece: Piece): void {
    if (piece.lent) this.lentLength -= piece.length;
    this.#ring.sends.release(piece);
    if (piece.taken !== undefined) process.nextTick(piece.taken);
  }

  /** Nothing of the queue will be sent. */
  #drop(error: Error): void {
    for (const piece of this.#queue) {
      this.#ring.sends.release(piece);
      if (piece.taken !== undefined) process.nextTick(piece.taken, error);
    }
    this.#queue = NONE;
    this.writableLength = 0;
    this.lentLength = 0;
  }

  end(): this {
    if (this.#ended) return this;
    this.#ended = true;
    // As a socket's: nothing can follow that what is held would wait for.
    if (this.#corked > 0) {
      this.#corked = 1;
      this.uncork();
    }
    if (this.#queue.length === 0 && !this.destroyed && this.#writeError === undefined) this.#finish();
    return this;
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#ring.endDirection(this.#fd);
    process.nextTick(tellFinish, this);
    this.#destroyIfOver();
  }

  #sendFailed(result: number): void {
    const error = systemError(result, "write");
    this.#drop(error);
    if (this.destroyed) {
      this.#closeIfOver();
      return;
    }
    this.#writeError = error;
    if (this.#peerEnded) {
      this.errored = error;
      // Whoever writes may be about to be told what came, and cannot be told more of it within.
      process.nextTick(giveUp, this, error);
    }
    // What the peer had said before, the answer to an upload for instance, is read first. Who can't be written to will end.
    else this.resume();
  }

  /** @internal */
  giveUp(error: Error): void {
    this.#giveUp(error);
  }

  #giveUp(error: Error): void {
    this.#paused = false;
    this.#giveHeld();
    if (this.#peerEnded && !this.#paused && !this.destroyed) this.#tellPeerEnd();
    this.destroy(error);
  }

  /** Closes with a reset, so that the peer takes nothing for whole. */
  resetAndDestroy(): this {
    this.#byReset = true;
    return this.destroy();
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    // What was written counts as given to the system, as far as that takes it.
    this.pushOut();
    this.destroyed = true;
    if (error !== undefined) this.errored = error;
    if (this.#receives || this.#sending > 0) this.#ring.cancelAll(this.#fd);
    process.nextTick(closeIfOver, this);
    return this;
  }

  /** @internal Sends what the system takes at once. */
  pushOut(): void {
    if (this.#corked > 0) return;
    for (let before = -1; this.#queue.length > 0 && this.writableLength !== before;) {
      before = this.writableLength;
      this.#send();
      this.#ring.flush();
    }
  }

  /** @internal */
  closeIfOver(): void {
    this.#closeIfOver();
  }

  /** Closes the descriptor when the kernel has nothing more to do with it. */
  #closeIfOver(): void {
    if (this.#closed || this.#receives || this.#sending > 0) return;
    this.#closed = true;
    if (this.#queue.length > 0) this.#drop(this.errored ?? systemError(ECANCELED, "write"));
    this.#early = undefined;
    this.#ring.remove(this.#id);
    if (this.#referenced) this.#ring.unref();
    // Not at once: it may have come to light while somebody else was writing.
    if (this.errored !== null) process.nextTick(tellError, this);
    const closed = (): void => void this.emit("close");
    // All has left, and the end behind it, if our direction is ended. A Unix socket knows no reset.
    if (this.#byReset && !this.#finished && this.#handle.reset?.(closed) === 0) return;
    this.#handle.close(closed);
  }

  /** @internal */
  tellError(): void {
    this.emit("error", this.errored);
  }

  /** @internal */
  tellDrain(): void {
    if (!this.destroyed) this.emit("drain");
  }
}

function systemError(result: number, syscall: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(result);
  return Object.assign(new Error(`${syscall} ${code}`), { errno: result, code, syscall });
}

/** Node keeps listeners in an object that takes 250 bytes, unless their events are named in it before. */
function nameEvents(stream: UringStream): void {
  const none = undefined;
  const events = { close: none, error: none, data: none, end: none, drain: none, finish: none };
  (stream as unknown as { _events: object })._events = events;
}

// Functions of their own: a closure for each call would be garbage, and one for each connection memory.

function giveEarly(stream: UringStream): void {
  stream.giveEarly();
}

function giveUp(stream: UringStream, error: Error): void {
  stream.giveUp(error);
}

function tellError(stream: UringStream): void {
  stream.tellError();
}

function tellDrain(stream: UringStream): void {
  stream.tellDrain();
}

function closeIfOver(stream: UringStream): void {
  stream.closeIfOver();
}

function tellFinish(stream: UringStream): void {
  stream.emit("finish");
}
