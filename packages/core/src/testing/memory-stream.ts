import { Duplex } from "node:stream";
import type { Wire } from "./wire.ts";

/** Addresses that a {@link MemoryStream} shows; none by default, as of a stream that is no socket. */
export interface StreamAddresses {
  remoteAddress?: string;
  remotePort?: number;
  localAddress?: string;
  localPort?: number;
}

/**
 * One end of a {@link streamPair}: a half-open `net.Socket` without a system below it.
 *
 * As with a socket, what was handed to the wire arrives even if this end is destroyed afterwards, and what was not is lost;
 * destroying an end that has not read all it got resets the connection.
 */
export class MemoryStream extends Duplex {
  /** What went to the wire, one element for each write that a system would have seen. */
  readonly writes: Buffer[] = [];
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  readonly #inbound: Wire;
  readonly #outbound: Wire;
  #byReset = false;

  /** @internal Made in pairs, by `streamPair`. */
  constructor(inbound: Wire, outbound: Wire, highWaterMark: number, addresses: StreamAddresses) {
    super({ allowHalfOpen: true, autoDestroy: true, emitClose: true, highWaterMark });
    this.remoteAddress = addresses.remoteAddress;
    this.remotePort = addresses.remotePort;
    this.localAddress = addresses.localAddress;
    this.localPort = addresses.localPort;
    this.#inbound = inbound;
    this.#outbound = outbound;
    inbound.reader = this;
    outbound.writer = this;
  }

  /** Closes at once; the other end gets ECONNRESET, and loses what it had not received yet. */
  resetAndDestroy(): this {
    this.#byReset = true;
    return this.destroy();
  }

  /** Like a socket's: nothing here keeps the process alive. */
  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  /** @internal */
  override _read(): void {
    this.#inbound.wanted();
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.writes.push(chunk);
    this.#outbound.send(chunk, done);
  }

  /** @internal */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "latin1", done);
  }

  /** @internal */
  override _final(done: () => void): void {
    this.#outbound.end();
    done();
  }

  /** @internal */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const unread = this.readableLength > 0 || this.#inbound.unread;
    if (this.#byReset || unread) this.#outbound.reset();
    else this.#outbound.abandon();
    this.#inbound.readerGone();
    done(error);
  }
}
