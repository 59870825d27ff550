import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import { beginTurn, endTurn } from "./clock.ts";
import { writeOverdue } from "./late-writes.ts";
import { takeBack, writeOver } from "./lent-bytes.ts";
import { OWNER } from "./stream-owner.ts";

/** What one read may bring: as much as the kernel usually has ready. */
const BUFFER_BYTES = 65_536;
/** So few leave room beside them for others: where they are kept, or lent, when it is cheaper to write over them than to take memory back. */
const FEW_BYTES = 4096;

/** Whoever the bytes of a socket are for. */
export interface ChunkReceiver {
  /** `end` bytes came; they are the first of `buffer`. */
  onData(buffer: Buffer, end: number): void;
}

/** Node's `onread` option. */
export interface OnRead {
  /** Gives `undefined` for the one of before, which Node's types do not know. */
  buffer: () => Uint8Array;
  callback: (bytes: number) => boolean;
}

/**
 * For the buffer that a socket has already. Node takes up what is given to it only if it is bytes, and to find out where in memory they
 * are costs it 0.1 µs a read.
 */
const SAME = undefined;

const READER = Symbol("sluice.socketReader");

/** A socket that knows its reader. */
interface ReadSocket {
  [READER]?: SocketReader;
  [OWNER]?: unknown;
}

/** For reads whose bytes are used up before the next read of any socket: heads, mostly. One for the process. */
const SHARED: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);

/** Buffers whose connection waits for its next request. New ones for each upload are work for the garbage collector. */
const free: Buffer[] = [];
/** 4 MB for the process. */
const MAX_FREE = 64;

/** What the socket that was just read, or is being made, reads into next. */
let nextBuffer: Buffer | typeof SAME = SHARED;

/**
 * Reads a socket into one buffer again and again, by Node's `onread` option, instead of into a new one each time. (With
 * 64 KB bodies the buffers of a socket's `data` events made the garbage collector the largest item: 72 µs of user time a
 * request, against 20 this way; with 13 B bodies it saves 1 µs a read.) Whoever wants to keep what was read says so.
 *
 * With the shared buffer an idle connection holds no memory for reading.
 */
export class SocketReader {
  /** What the socket reads into; there once it has asked. */
  #buffer: Buffer | undefined = undefined;
  #receiver: ChunkReceiver | undefined = undefined;
  #ownBuffer: boolean;
  #kept = false;
  #lent = false;
  /** In the memory of the own buffer stands something that is kept, beside it. */
  #sharesMemory = false;
  /** What the last read brought. */
  #bytes = 0;
  /** The read before it brought few. */
  #fewBefore = true;
  #early = false;
  readonly #holdsEarly: boolean;
  readonly #bufferBytes: number;
  /** Bytes that came before {@link start}, if they are held. */
  #held: Buffer | undefined = undefined;

  /**
   * @param ownBuffer Read into a buffer of its own from the start.
   * @param holdsEarly Bytes that come before {@link start} are for whoever comes then, instead of being dropped: behind a handshake
   * they are nobody's fault.
   * @param bufferBytes Size of its own buffers: what one read can bring.
   */
  constructor(ownBuffer: boolean, holdsEarly: boolean = false, bufferBytes: number = BUFFER_BYTES) {
    this.#ownBuffer = ownBuffer;
    this.#holdsEarly = holdsEarly;
    this.#bufferBytes = bufferBytes;
  }

  /** The reader of a stream; `undefined` for one whose bytes come by `data` events. */
  static of(stream: object): SocketReader | undefined {
    return (stream as ReadSocket)[READER];
  }

  /** To be given to `net.connect`. */
  get onread(): OnRead {
    return { buffer: () => this.#next() as Buffer, callback: (bytes) => this.#onRead(bytes) };
  }

  /**
   * To be given to `net.Socket` for sockets that begin with the shared buffer: one for all of them, which finds the reader by
   * {@link attach}. A connection that waits for its next request should cost as little memory as it can.
   */
  static readonly onread: OnRead = {
    // Asked for without a socket: when one is made, and right after each call of `callback`.
    buffer() {
      const next = nextBuffer;
      nextBuffer = SHARED;
      return next as Buffer;
    },
    callback(this: ReadSocket, bytes) {
      const reader = this[READER]!;
      const goOn = reader.#onRead(bytes);
      nextBuffer = reader.#next();
      return goOn;
    },
  };

  /** Makes this the reader of a socket that was made with {@link SocketReader.onread}, or with its own {@link onread}. */
  attach(socket: object): void {
    (socket as ReadSocket)[READER] = this;
    (socket as ReadSocket)[OWNER] = undefined;
    // Of its own `onread` the socket has asked for a buffer already.
    this.#buffer ??= SHARED;
  }

  /** Bytes go to `receiver` from now on; they are valid during the call, unless {@link keep} says otherwise. */
  start(receiver: ChunkReceiver): void {
    this.#receiver = receiver;
    const held = this.takeHeld();
    // Whoever starts is often still being made.
    if (held !== undefined) queueMicrotask(() => receiver.onData(held, held.length));
  }

  /** Takes the bytes that came before {@link start}, for somebody who will read in another way; `undefined` if none came. */
  takeHeld(): Buffer | undefined {
    const held = this.#held;
    this.#held = undefined;
    return held;
  }

  /** Bytes came before {@link start}; they were dropped, since nobody had asked for them. */
  get spokeEarly(): boolean {
    return this.#early;
  }

  /** From the next read on: into a buffer of this reader alone, or into the shared one. */
  useOwnBuffer(own: boolean): void {
    this.#ownBuffer = own;
  }

  /** What is being received into the own buffer stays as it is; the next read gets another one. */
  keep(): void {
    this.#kept = true;
  }

  /**
   * What is being received was shown to code that may have a view of it later. Unless it is kept, it is gone then: no such view
   * ever shows what another read brings.
   */
  lend(): void {
    this.#lent = true;
  }

  /** Whether `buffer` is the shared one, in which nothing can be kept. */
  isShared(buffer: Buffer): boolean {
    return buffer === SHARED;
  }

  /**
   * For a transport that reads into memory of its own: the first `bytes` of `buffer` came.
   * @returns What it may read into now, instead of `buffer`: that, if nobody has kept anything of it.
   */
  received(buffer: Buffer, bytes: number): Buffer {
    this.#buffer = buffer;
    this.#onRead(bytes);
    const kept = this.#kept;
    const lent = this.#lent || SocketReader.lendsAll;
    this.#kept = false;
    this.#lent = false;
    return kept || lent ? memoryBehind(buffer, bytes, kept) : buffer;
  }

  #hold(bytes: number): void {
    const came = Buffer.from(this.#buffer!.subarray(0, bytes));
    this.#held = this.#held === undefined ? came : Buffer.concat([this.#held, came]);
  }

  /** @internal For tests: everything counts as lent, so that they show who keeps what he has not said. */
  static lendsAll = false;

  #next(): Buffer | typeof SAME {
    const before = this.#buffer;
    if (!this.#ownBuffer) {
      this.#buffer = SHARED;
      if (before !== undefined && before !== SHARED) this.#giveBack(before);
    } else if (before === undefined || before === SHARED) this.#buffer = this.#ownMemory();
    else if (this.#kept) this.#buffer = this.#roomBeside(before);
    else if (this.#lent || SocketReader.lendsAll) this.#buffer = this.#withdraw(before);
    this.#kept = false;
    this.#lent = false;
    this.#fewBefore = this.#bytes <= FEW_BYTES;
    return this.#buffer === before ? SAME : this.#buffer;
  }

  /** Memory to go on with when the last read's is kept: what is left, if that was little. New memory for each would cost 25 µs. */
  #roomBeside(kept: Buffer): Buffer {
    if (!this.#hasRoom(kept)) return this.#ownMemory();
    this.#sharesMemory = true;
    return kept.subarray(this.#bytes);
  }

  /** What the last read brought was little, and behind it is room for another. */
  #hasRoom(own: Buffer): boolean {
    return this.#bytes <= FEW_BYTES && own.length - this.#bytes >= this.#bufferBytes / 2;
  }

  #ownMemory(): Buffer {
    this.#sharesMemory = false;
    const again = this.#bufferBytes === BUFFER_BYTES ? free.pop() : undefined;
    return again ?? Buffer.allocUnsafeSlow(this.#bufferBytes);
  }

  /** Nobody has a view of it: another connection may read into it. */
  #giveBack(own: Buffer): void {
    const whole = own.buffer as ArrayBuffer;
    if (this.#kept || this.#sharesMemory || whole.byteLength !== BUFFER_BYTES || free.length >= MAX_FREE) return;
    // Behind what was lent of it before is only a part of it.
    const lent = this.#lent || SocketReader.lendsAll || own.length < whole.byteLength;
    free.push(lent ? takeBack(own) : own);
  }

  /**
   * Takes away what was lent; gives what to go on with. No read goes where a view may still be: what it brought would show there, and stay
   * if it is kept.
   *
   * Behind few bytes is room, and to go on there is cheaper than to take memory back; but behind the rest of much more, the next read
   * would be shorter for it, and leave a rest again: that cost a response of 1 MB 10 %.
   */
  #withdraw(lent: Buffer): Buffer {
    const goesOn = this.#hasRoom(lent) && (this.#fewBefore || this.#sharesMemory);
    if (!goesOn && !this.#sharesMemory) return takeBack(lent);
    writeOver(lent, this.#bytes);
    return goesOn ? lent.subarray(this.#bytes) : this.#ownMemory();
  }

  #onRead(bytes: number): boolean {
    this.#bytes = bytes;
    if (this.#receiver === undefined) {
      if (this.#holdsEarly) this.#hold(bytes);
      else this.#early = true;
    } else {
      beginTurn();
      try {
        // Here, where the clock is read anyway: also if it was the event before this one that took long.
        writeOverdue(this.#receiver);
        this.#receiver.onData(this.#buffer!, bytes);
      } finally {
        endTurn();
      }
    }
    return true;
  }
}

/** What a transport goes on with when `bytes` of `buffer` are `kept`, or were lent: as a reader does with memory of its own. */
function memoryBehind(buffer: Buffer, bytes: number, kept: boolean): Buffer {
  const { byteLength } = buffer.buffer;
  const few = bytes <= FEW_BYTES && buffer.length - bytes >= byteLength / 2;
  if (!kept && !few && buffer.length === byteLength) return takeBack(buffer);
  if (!kept) writeOver(buffer, bytes);
  return few ? buffer.subarray(bytes) : Buffer.allocUnsafeSlow(byteLength);
}
