import { INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR } from "../error-codes.ts";
import type { FieldReceiver } from "../hpack/decoder.ts";
import type { HeadWriter } from "./head-writer.ts";
import type { Http2Endpoint } from "./http2-endpoint.ts";
import { ReceivedBytes } from "./received-bytes.ts";
import { SendQueue } from "./send-queue.ts";

/**
 * How a stream ended:
 * - `complete`: both sides have said END_STREAM
 * - `own-reset`: {@link Http2Stream.reset} was called
 * - `peer-reset`: RST_STREAM came
 * - `refused`: a GOAWAY came by which the peer has not looked at it, whatever the method (RFC 9113, section 6.8)
 * - `rules`: the peer broke a rule, and we have reset it
 * - `connection`: the connection is over
 */
export type StreamClose = "complete" | "own-reset" | "peer-reset" | "refused" | "rules" | "connection";

/** What waits behind the bytes that wait. */
type Ending = "none" | "end" | "trailers";

/** Whether a stream can go on sending. */
export type SendTurn = "nothing-left" | "more" | "window-closed" | "connection-window-closed";

/** Bytes that wait beyond which whoever gives them is asked to wait: more than one read of an upstream brings. */
const MAX_UNSENT_BYTES = 65_536;
/** Bytes that the system did not take beyond which interim heads are left out: with nobody to take them they would only pile up. */
const MAX_UNSENT_BEFORE_HEAD = 131_072;

/**
 * One stream (RFC 9113, section 5), from either side: what is sent goes out at once as far as windows and the system allow, and waits
 * otherwise; what comes is told as it comes, or waits until it is wanted. Sessions extend it, so that a stream is one object.
 */
export abstract class Http2Stream {
  protected readonly endpoint: Http2Endpoint;
  /** 0: none yet; a client's stream gets it when its head is sent. */
  id: number;
  /** END_STREAM was sent. */
  localEnded = false;
  /** END_STREAM came. What came before it may still wait. */
  remoteEnded: boolean;
  /** Nothing comes or goes on it. */
  closed = false;
  /** Body bytes that came. */
  bodyBytes = 0;
  /** What the peer has said that its body will have (RFC 9113, section 8.1.1); -1: nothing. Set with the head. */
  protected contentLength = -1;
  /** @internal DATA may come: the message's head is there. */
  takesData: boolean;
  /** @internal Flow control; may be negative (RFC 9113, section 6.9.2). */
  sendWindowBytes = 0;
  /** @internal */
  receiveWindowBytes = 0;
  /** @internal Of those that came, bytes that were taken and are not given back to the window yet. */
  takenBytes = 0;
  /** @internal In line to send. */
  inLine = false;
  /** @internal {@link onBatch} is to be called. */
  touched = false;
  /** Behind END_STREAM, the peer is asked to stop (RFC 9113, section 8.1). */
  protected stopsBehindEnd = false;
  /** END_STREAM gets a frame of its own, if only an empty one. */
  protected endsByOwnFrame = false;
  #headWaits = false;
  #queue: SendQueue | undefined = undefined;
  #ending: Ending = "none";
  #full = false;
  /** Where the flags of its last frame stand, in the output of that time. */
  #flagsAt = -1;
  #epoch = -1;
  #reading = false;
  #waiting: ReceivedBytes | undefined = undefined;
  #endWaits = false;
  #delivering = false;
  #discards = false;

  /** @param id Of a stream that the peer has opened; 0 for one that we are to open. */
  protected constructor(endpoint: Http2Endpoint, id: number, remoteEnded: boolean) {
    this.endpoint = endpoint;
    this.id = id;
    this.remoteEnded = remoteEnded;
    this.takesData = id !== 0;
    if (id !== 0) endpoint.register(this);
  }

  // What a session does with its stream.

  /** Sends the head that {@link writeHead} writes, now or when there is room. */
  protected sendHead(endStream: boolean): void {
    if (this.closed) return;
    if (endStream) this.#ending = "end";
    if (this.endpoint.congested) {
      this.#headWaits = true;
      this.endpoint.standInLine(this);
    } else this.#frameHead();
  }

  /** Sends bytes behind the head. Returns `false` to ask to wait for {@link onDrained}; the chunk's memory can be used again. */
  protected sendData(chunk: Uint8Array): boolean {
    if (this.closed || this.localEnded) return true;
    let at = 0;
    if (this.#queue === undefined && !this.#headWaits && this.endpoint.lineIsFree) {
      at = this.#frameData(chunk, 0);
      if (at === chunk.length) return true;
    }
    this.#queue ??= new SendQueue();
    this.#queue.add(chunk, at);
    if (this.sendWindowBytes > 0 || this.#headWaits) this.endpoint.standInLine(this);
    if (this.#queue.bytes > MAX_UNSENT_BYTES) this.#full = true;
    return !this.#full;
  }

  /** Ends our direction behind what was sent. @param trailers With the fields that {@link writeTrailers} writes. */
  protected sendEnd(trailers: boolean): void {
    if (this.closed || this.localEnded) return;
    this.#ending = trailers ? "trailers" : "end";
    if (this.#queue === undefined && !this.#headWaits) this.#frameEnd();
    else if (this.sendWindowBytes > 0 || this.#headWaits) this.endpoint.standInLine(this);
  }

  /** Sends a head that another is to follow; a peer that takes nothing does not get it. */
  protected sendInterim(write: (head: HeadWriter) => void): void {
    const { head, peer, output } = this.endpoint;
    if (this.closed || output.unsentBytes > MAX_UNSENT_BEFORE_HEAD) return;
    head.begin();
    try {
      write(head);
    } catch (error) {
      head.abandon();
      throw error;
    }
    head.end(this.id, false, peer.maxFrameBytes);
  }

  /** RST_STREAM: nothing of it comes or goes any more. What waits is dropped. Tells {@link onClosed}. */
  reset(code: number): void {
    if (this.closed) return;
    if (this.id !== 0) this.endpoint.sendReset(this.id, code);
    this.endpoint.close(this, "own-reset", code);
  }

  /** Body bytes, and the end, are told while this is so; meanwhile they wait, and the peer's window closes. Never inside the call. */
  protected read(reading: boolean): void {
    this.#reading = reading;
    if (!reading || this.#delivering || (this.#waiting === undefined && !this.#endWaits)) return;
    this.#delivering = true;
    queueMicrotask(() => {
      try {
        this.#deliver();
      } catch (error) {
        this.endpoint.failed(error);
      }
    });
  }

  /** Nobody is going to read: what waits, and what still comes, goes back to the connection's window, and not to the stream's. */
  protected discard(): void {
    this.#discards = true;
    this.#reading = false;
    this.#dropWaiting();
  }

  /** The end that came is told once more, behind what waits: as the end of something else. */
  protected repeatEnd(): void {
    if (this.remoteEnded) this.#endWaits = true;
  }

  /** Bytes given to {@link sendData} that have not been framed. */
  get writableLength(): number {
    return this.#queue === undefined ? 0 : this.#queue.bytes;
  }

  /** Memory that was given is still needed: that of a very large chunk. */
  get holdsBytes(): boolean {
    return this.#queue?.lent === true;
  }

  /** Our direction is complete, but for windows and the system. */
  protected get endIsSent(): boolean {
    return this.localEnded || this.#ending !== "none";
  }

  // What a session is told.

  /** Who takes the fields that begin or end a message, and come now. */
  abstract beginFields(): FieldReceiver;
  /** All of them came. @param endStream It is also the end of the message. */
  abstract endFields(endStream: boolean): void;
  /** The chunk is valid during the call, unless {@link Http2Endpoint.keepChunk} is called. */
  protected abstract onData(chunk: Buffer): void;
  /** END_STREAM, behind all bytes. */
  protected abstract onEnd(): void;
  /** @internal What one read brought is delivered. */
  abstract onBatch(): void;
  /** There was too much for the peer, and now all of it is framed. */
  protected abstract onDrained(): void;
  /** Once, and nothing follows. @param why What rule the peer broke. */
  abstract onClosed(how: StreamClose, code: number, why: string | undefined): void;
  protected abstract writeHead(head: HeadWriter): void;
  protected abstract writeTrailers(head: HeadWriter): void;

  // What the endpoint does with it.

  /** @internal Its turn to send: the head, and one frame at most. */
  takeTurn(): SendTurn {
    if (this.closed) return "nothing-left";
    if (this.#headWaits) this.#frameHead();
    const queue = this.#queue;
    if (queue !== undefined && queue.bytes > 0) {
      if (this.sendWindowBytes <= 0) return "window-closed";
      if (this.endpoint.sendWindowBytes <= 0) return "connection-window-closed";
      queue.sentUpTo(this.#frameOne(queue.first, queue.at));
      if (queue.bytes > 0) return this.sendWindowBytes > 0 ? "more" : "window-closed";
    }
    this.#queue = undefined;
    if (this.#ending !== "none" && !this.localEnded) this.#frameEnd();
    if (this.#full) {
      this.#full = false;
      this.onDrained();
    }
    return this.#queue === undefined ? "nothing-left" : "more";
  }

  /** @internal Some content came. */
  take(buffer: Buffer, from: number, end: number): void {
    const bytes = end - from;
    this.bodyBytes += bytes;
    if (this.contentLength >= 0 && this.bodyBytes > this.contentLength) {
      this.endpoint.returnToConnection(bytes);
      this.malformed(`a body of more than the ${this.contentLength} bytes that its Content-Length says`);
    } else if (this.#reading && this.#waiting === undefined) {
      this.onData(this.endpoint.memory.chunkOf(buffer, from, end));
      this.endpoint.taken(this, bytes);
      this.endpoint.touch(this);
    } else if (this.#discards) this.endpoint.returnToConnection(bytes);
    else (this.#waiting ??= new ReceivedBytes()).add(buffer, from, end);
  }

  /** @internal END_STREAM came. */
  takeEnd(): void {
    if (this.closed) return;
    this.remoteEnded = true;
    if (this.contentLength >= 0 && this.bodyBytes < this.contentLength) {
      this.malformed(`a body of ${this.bodyBytes} bytes, of ${this.contentLength} that its Content-Length says`);
      return;
    }
    if (this.#reading && this.#waiting === undefined) {
      this.onEnd();
      this.endpoint.touch(this);
    } else this.#endWaits = true;
    this.endpoint.closeIfComplete(this);
  }

  /** Nothing is missing of the peer's message but END_STREAM, and what came is of use without it. */
  get isWhole(): boolean {
    return false;
  }

  /** @internal The peer stops where its message is whole. What waits, and the end behind it, are told as ever. */
  endWhole(): void {
    this.remoteEnded = true;
    this.#endWaits = true;
    if (this.#reading) this.read(true);
  }

  /** Whether what came and was not delivered is of use behind such an end. */
  protected keepsWaiting(how: StreamClose): boolean {
    return how === "complete";
  }

  /** @internal Told by the endpoint alone. */
  end(how: StreamClose, code: number, why: string | undefined): void {
    this.closed = true;
    this.#queue?.clear();
    this.#queue = undefined;
    if (!this.keepsWaiting(how)) this.#dropWaiting();
    this.onClosed(how, code, why);
  }

  /** What came breaks the rules for messages (RFC 9113, section 8.1.1): the stream ends, the connection goes on. */
  malformed(why: string): void {
    this.endpoint.breakRule(this, PROTOCOL_ERROR, why);
  }

  #dropWaiting(): void {
    if (this.#waiting === undefined) return;
    this.endpoint.returnToConnection(this.#waiting.bytes);
    this.#waiting = undefined;
    this.#endWaits = false;
  }

  #deliver(): void {
    while (this.#reading && this.#waiting !== undefined) {
      const chunk = this.#waiting.take()!;
      if (this.#waiting.bytes === 0) this.#waiting = undefined;
      this.onData(chunk);
      this.endpoint.taken(this, chunk.length);
    }
    this.#delivering = false;
    if (this.#reading && this.#endWaits) {
      this.#endWaits = false;
      this.onEnd();
    }
    this.onBatch();
  }

  #frameHead(): void {
    this.#headWaits = false;
    const { head, peer } = this.endpoint;
    this.#writeFields(false);
    if (this.id === 0) this.endpoint.open(this);
    const endStream = this.#ending === "end" && this.#queue === undefined;
    this.#noteFrame(head.end(this.id, endStream, peer.maxFrameBytes));
    if (endStream) this.#ended();
  }

  /** All of them, or the stream ends: fields that nobody has checked may be no strings. */
  #writeFields(trailers: boolean): void {
    const { head } = this.endpoint;
    head.begin();
    try {
      if (trailers) this.writeTrailers(head);
      else this.writeHead(head);
    } catch (error) {
      head.abandon();
      this.reset(INTERNAL_ERROR);
      throw error;
    }
  }

  #frameData(chunk: Uint8Array, from: number): number {
    const { endpoint } = this;
    let at = from;
    while (at < chunk.length && endpoint.lineIsFree && endpoint.sendWindowBytes > 0 && this.sendWindowBytes > 0) {
      at = this.#frameOne(chunk, at);
    }
    return at;
  }

  /** As much of a chunk as fits into a frame and the windows. Gives up to where. */
  #frameOne(chunk: Uint8Array, from: number): number {
    const end = this.endpoint.frameData(this, chunk, from);
    this.#noteFrame(this.endpoint.output.end - (end - from) - 5);
    return end;
  }

  #frameEnd(): void {
    const { endpoint } = this;
    if (this.#ending === "trailers") {
      this.#writeFields(true);
      endpoint.head.end(this.id, true, endpoint.peer.maxFrameBytes);
    } else if (this.#flagsAt >= 0 && this.#epoch === endpoint.output.epoch && !this.endsByOwnFrame) {
      endpoint.output.markEnd(this.#flagsAt);
    } else {
      endpoint.output.data(this.id, NOTHING, 0, 0, true);
    }
    this.#ended();
  }

  #ended(): void {
    this.localEnded = true;
    this.endpoint.closeIfComplete(this);
    if (this.stopsBehindEnd) setImmediate(() => this.reset(NO_ERROR));
  }

  #noteFrame(flagsAt: number): void {
    this.#flagsAt = flagsAt;
    this.#epoch = this.endpoint.output.epoch;
  }
}

const NOTHING = new Uint8Array(0);
