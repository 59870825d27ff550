import { AsyncResource } from "node:async_hooks";
import {
  CQE_WORDS,
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_FD,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  IORING_ENTER_GETEVENTS,
  IORING_OFF_RINGS,
  IORING_OFF_SQES,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_RECV_MULTISHOT,
  IORING_REGISTER_PBUF_RING,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_TASKRUN,
  IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS,
  MSG_NOSIGNAL,
  SHUT_WR,
  SQE_WORDS,
} from "./abi.ts";
import { loadCalls, unavailable, type Calls, type NativeCalls, type Waker } from "./calls.ts";
import { ReadMemory, type ReadSlot } from "./read-memory.ts";
import { SendMemory, type Piece } from "./send-memory.ts";

/** What can be asked for between two system calls; more than one only takes another. */
const SQ_ENTRIES = 1024;
const CQ_ENTRIES = 8192;

/** Pieces that leave by one operation. */
export const MAX_PIECES = 8;
/** `struct msghdr`, 56 bytes, and its pieces, 16 each. */
const MESSAGE_WORDS = 64;
const MSGHDR_WORDS = 14;

/** What a result is for, beside the number of its stream. */
const NONE = 0;
const RECV = 1;
const SEND = 2;

/** How often a turn goes on to what has come meanwhile. */
const MAX_ROUNDS = 4;
/** Each round reads as much as there is memory for: 128 connections. It is to end, though a peer goes on and on. */
const ALL_ROUNDS = 256;

/** Whoever is told something is told within it, as by an event of Node's: what he enters of an `AsyncLocalStorage` ends with that. */
const EVENT = new AsyncResource("SluiceRing");

/** Whoever the results are for. */
export interface RingStream {
  /**
   * @param result Bytes that came; 0 at the end; or an error, negative.
   * @param slot Where they are. Its memory is the kernel's again afterwards.
   * @param more More will come without being asked for.
   */
  onRecv(result: number, slot: ReadSlot | undefined, more: boolean): void;
  /** @param result Bytes that have left, or an error, negative. */
  onSend(result: number): void;
  /** The process ends: what can be sent is, now. */
  pushOut(): void;
}

/**
 * An io_uring: what is asked of many sockets goes to the system by one call, and so do the answers come. One for a process.
 *
 * The kernel looks at what was asked when we enter it, and libuv sees at the ring, as at any socket, that there are results.
 */
export class Ring {
  readonly sends: SendMemory;
  readonly #reads: ReadMemory;
  readonly #calls: Calls;
  readonly #fd: number;
  readonly #waker: Waker;
  /** Heads and tails of both queues, and the results. */
  readonly #words: Int32Array;
  readonly #entries: Int32Array;
  readonly #sqTail: number;
  readonly #sqFlags: number;
  readonly #sqMask: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #results: number;
  /** One for each entry: it must stay until the kernel has looked at it. */
  readonly #messages: Int32Array;
  readonly #messagesAddress: number;
  #tail: number;
  /** Entries that the system does not have yet. */
  #pending = 0;
  /** Up to where results of sending were looked for, ahead of others. */
  #looked: number;
  readonly #streams: (RingStream | undefined)[] = [];
  readonly #freeIds: number[] = [];
  #refs = 0;
  #willFlush = false;
  #flushing = false;
  #flushAgain = false;
  #turning = false;
  #exiting = false;

  /** @throws LinuxError `ENOSYS` where there can be none. */
  constructor() {
    const calls = (this.#calls = loadCalls());
    const params = new Uint32Array(30);
    params[1] = CQ_ENTRIES;
    params[2] =
      IORING_SETUP_CQSIZE |
      IORING_SETUP_SUBMIT_ALL |
      IORING_SETUP_COOP_TASKRUN |
      IORING_SETUP_TASKRUN_FLAG |
      IORING_SETUP_SINGLE_ISSUER;
    this.#fd = calls.setup(SQ_ENTRIES, params);
    if (this.#fd < 0)
      throw unavailable(`io_uring_setup: errno ${calls.errno()}, which a kernel before 6.0 says, or a container`);
    // struct io_uring_params: the offsets of the queues' parts, in bytes, begin at words 10 and 20.
    const wordAt = (index: number): number => params[index]! >>> 2;
    const entries = params[0]!;
    const results = params[1];
    const array = wordAt(16);
    const ringBytes = Math.max(params[16]! + entries * 4, params[25]! + results * CQE_WORDS * 4);
    this.#words = new Int32Array(calls.mapRing(this.#fd, IORING_OFF_RINGS, ringBytes).view);
    this.#entries = new Int32Array(calls.mapRing(this.#fd, IORING_OFF_SQES, entries * SQE_WORDS * 4).view);
    this.#sqTail = wordAt(11);
    this.#sqFlags = wordAt(14);
    this.#sqMask = entries - 1;
    this.#cqHead = wordAt(20);
    this.#cqTail = wordAt(21);
    this.#cqMask = results - 1;
    this.#results = wordAt(25);
    for (let i = 0; i < entries; i++) this.#words[array + i] = i;
    this.#tail = this.#words[this.#sqTail]!;
    this.#looked = this.#words[this.#cqHead]!;

    this.#reads = new ReadMemory(calls);
    if (calls.register(this.#fd, IORING_REGISTER_PBUF_RING, this.#reads.registration, 1) !== 0)
      throw unavailable(`io_uring_register: errno ${calls.errno()}`);
    this.sends = new SendMemory(calls);
    const messages = calls.allocate(entries * MESSAGE_WORDS * 4);
    this.#messages = new Int32Array(messages.view);
    this.#messagesAddress = messages.address;

    this.#waker = calls.watch(this.#fd, () => this.turn());
    process.on("exit", () => {
      this.#exiting = true;
      for (const stream of this.#streams) stream?.pushOut();
    });
  }

  get native(): NativeCalls {
    return this.#calls.native;
  }

  /** The number under which results for `stream` come. */
  add(stream: RingStream): number {
    const id = this.#freeIds.pop() ?? this.#streams.length;
    this.#streams[id] = stream;
    return id;
  }

  /** Nothing is under way for it, and nothing will be. */
  remove(id: number): void {
    this.#streams[id] = undefined;
    this.#freeIds.push(id);
  }

  /** Somebody wants to keep the process alive. */
  ref(): void {
    if (this.#refs++ === 0) this.#waker.ref();
  }

  unref(): void {
    if (--this.#refs === 0) this.#waker.unref();
  }

  /** What comes on `fd` is told to `onRecv`: once, or `again` and again until that is told that there will be no more. */
  recv(id: number, fd: number, again: boolean): void {
    const flags = again ? IORING_RECV_MULTISHOT : 0;
    this.#ask(IORING_OP_RECV | (IOSQE_BUFFER_SELECT << 8) | (flags << 16), fd, id, RECV);
  }

  /** No more is to be received. What the kernel had taken still comes, and behind it `ECANCELED`. */
  cancelRecv(id: number): void {
    const at = this.#ask(IORING_OP_ASYNC_CANCEL | (IOSQE_CQE_SKIP_SUCCESS << 8), -1, 0, NONE);
    this.#entries[at + 4] = id;
    this.#entries[at + 5] = RECV;
  }

  /** All that is under way on `fd` ends, each with its result. */
  cancelAll(fd: number): void {
    const at = this.#ask(IORING_OP_ASYNC_CANCEL | (IOSQE_CQE_SKIP_SUCCESS << 8), fd, 0, NONE);
    this.#entries[at + 7] = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD;
  }

  /** Sends `pieces`, at most {@link MAX_PIECES}, in order, and as much of them as the system has room for, at least a byte. */
  send(id: number, fd: number, pieces: readonly Piece[]): void {
    const entries = this.#entries;
    const one = pieces.length === 1;
    const at = this.#ask(one ? IORING_OP_SEND : IORING_OP_SENDMSG, fd, id, SEND);
    setAddress(entries, at + 4, one ? pieces[0]!.address : this.#message(at / SQE_WORDS, pieces));
    entries[at + 6] = one ? pieces[0]!.length : 1;
    entries[at + 7] = MSG_NOSIGNAL;
  }

  /** Ends our direction of a connection. One that is gone already shows to who reads. */
  endDirection(fd: number): void {
    this.#calls.shutdown(fd, SHUT_WR);
  }

  #message(index: number, pieces: readonly Piece[]): number {
    const messages = this.#messages;
    const at = index * MESSAGE_WORDS;
    const vectors = at + MSGHDR_WORDS;
    messages.fill(0, at, vectors);
    setAddress(messages, at + 4, this.#messagesAddress + vectors * 4);
    messages[at + 6] = pieces.length;
    for (let i = 0; i < pieces.length; i++) {
      setAddress(messages, vectors + i * 4, pieces[i]!.address);
      messages[vectors + i * 4 + 2] = pieces[i]!.length;
      messages[vectors + i * 4 + 3] = 0;
    }
    return this.#messagesAddress + at * 4;
  }

  /** Gives the system what was asked for, and tells what was sent by it, if that is known at once. */
  flush(): void {
    this.#flushAgain = true;
    // Who is told goes on sending, and asks for it here again: one within the other would end with the stack.
    if (this.#flushing) return;
    this.#flushing = true;
    while (this.#flushAgain) {
      this.#flushAgain = false;
      this.#willFlush = false;
      if (this.#pending > 0) this.#enter();
      // It had no memory: there is no event that would have us come back.
      if (this.#pending > 0) setImmediate(flush, this);
      this.#takeSends();
    }
    this.#flushing = false;
  }

  /** @internal As {@link flush}, unless that comes anyway behind all that has come. */
  flushUnlessTurning(): void {
    if (this.#turning) this.#willFlush = false;
    else this.flush();
  }

  /**
   * Tells all that has come, to whom it is for.
   * @param maxRounds How often it goes on to what has come meanwhile, before others have their turn.
   */
  turn(maxRounds: number = MAX_ROUNDS): void {
    if (this.#turning) return;
    this.#turning = true;
    const words = this.#words;
    for (let round = 0; round < maxRounds; round++) {
      const waits = (words[this.#sqFlags]! & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) !== 0;
      if (waits || this.#pending > 0) this.#enter();
      if (words[this.#cqHead] === words[this.#cqTail]) break;
      this.#takeAll();
    }
    this.#turning = false;
    if (this.#pending === 0) return;
    this.flush();
    // It may have told that something has left, and nobody else comes behind us.
    this.#tick();
  }

  /** What Node does behind each of its own events. */
  #tick(): void {
    try {
      this.#calls.tick();
    } catch (error) {
      throwLater(error);
    }
  }

  /** As {@link turn}, of everything that has arrived. */
  turnAll(): void {
    this.turn(ALL_ROUNDS);
  }

  #takeAll(): void {
    const words = this.#words;
    const end = words[this.#cqTail]!;
    for (let head = words[this.#cqHead]!; head !== end; head = words[this.#cqHead]!) {
      const at = this.#results + (head & this.#cqMask) * CQE_WORDS;
      const id = words[at]!;
      const kind = words[at + 1]!;
      const result = words[at + 2]!;
      const flags = words[at + 3]!;
      words[this.#cqHead] = (head + 1) | 0;
      if (kind === NONE) continue;
      try {
        if (kind === SEND) EVENT.runInAsyncScope(tellSend, undefined, this.#streams[id]!, result);
        else this.#tellRecv(this.#streams[id]!, result, flags);
      } catch (error) {
        throwLater(error);
      }
      this.#tick();
    }
  }

  #tellRecv(stream: RingStream, result: number, flags: number): void {
    const more = (flags & IORING_CQE_F_MORE) !== 0;
    if ((flags & IORING_CQE_F_BUFFER) === 0) {
      EVENT.runInAsyncScope(tellRecv, undefined, stream, result, undefined, more);
      return;
    }
    const index = flags >>> 16;
    try {
      EVENT.runInAsyncScope(tellRecv, undefined, stream, result, this.#reads.slots[index], more);
    } finally {
      this.#reads.give(index);
    }
  }

  /** Results of sending, ahead of what else there is: somebody waits to use the memory again. */
  #takeSends(): void {
    const words = this.#words;
    const head = words[this.#cqHead]!;
    if (((this.#looked - head) | 0) < 0) this.#looked = head;
    while (this.#looked !== words[this.#cqTail]) {
      const at = this.#results + (this.#looked & this.#cqMask) * CQE_WORDS;
      this.#looked = (this.#looked + 1) | 0;
      if (words[at + 1] !== SEND) continue;
      words[at + 1] = NONE;
      try {
        EVENT.runInAsyncScope(tellSend, undefined, this.#streams[words[at]!]!, words[at + 2]!);
      } catch (error) {
        throwLater(error);
      }
    }
  }

  /** @returns Where the entry begins. */
  #ask(operation: number, fd: number, id: number, kind: number): number {
    // It is refused for want of memory only, never for want of room for results: those the kernel keeps until there is some. To make room
    // by telling them here would be within the call of somebody who may be told something himself.
    while (this.#pending > this.#sqMask) this.#enter();
    const at = (this.#tail & this.#sqMask) * SQE_WORDS;
    const entries = this.#entries;
    entries.fill(0, at, at + SQE_WORDS);
    entries[at] = operation;
    entries[at + 1] = fd;
    entries[at + 8] = id;
    entries[at + 9] = kind;
    this.#tail = (this.#tail + 1) | 0;
    this.#pending++;
    if (!this.#willFlush) {
      this.#willFlush = true;
      process.nextTick(flush, this);
    }
    return at;
  }

  /** Gives the system what was asked for. It may take less, or nothing, if it has no memory. */
  #enter(): void {
    this.#words[this.#sqTail] = this.#tail;
    const taken = this.#calls.enter(this.#fd, this.#pending, IORING_ENTER_GETEVENTS);
    if (taken > 0) this.#pending -= taken;
  }

  /** Whether no turn will come any more. */
  get exiting(): boolean {
    return this.#exiting;
  }
}

/** A handler that fails must not take along what came for others. */
function throwLater(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

function tellRecv(stream: RingStream, result: number, slot: ReadSlot | undefined, more: boolean): void {
  stream.onRecv(result, slot, more);
}

function tellSend(stream: RingStream, result: number): void {
  stream.onSend(result);
}

function flush(ring: Ring): void {
  ring.flushUnlessTurning();
}

function setAddress(words: Int32Array, at: number, address: number): void {
  words[at] = address | 0;
  words[at + 1] = Math.floor(address / 0x1_0000_0000);
}
