import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { readMessage, type Message } from "./message.ts";

/** The connection ended before what was awaited had come. */
export class WireEnded extends Error {
  /** What had come instead, not taken yet. */
  readonly rest: string;

  constructor(wanted: string, rest: Buffer, how: string) {
    super(`${how} while waiting for ${wanted}; got ${JSON.stringify(rest.toString("latin1", 0, 400))}`);
    this.rest = rest.toString("latin1");
  }
}

/** A connection, or what a test takes for one. */
export type WireSocket = Duplex & {
  resetAndDestroy(): unknown;
  readonly localPort?: number | undefined;
  readonly cut?: boolean;
};

/** One end of a connection, byte by byte: what it sends is up to the test, and what it gets waits to be taken. */
export class Wire implements AsyncDisposable {
  readonly socket: WireSocket;
  /** The other side ended its direction (FIN). */
  ended = false;
  /** The socket is gone. */
  closed = false;
  /** The other side reset the connection, or another error ended it. */
  error: NodeJS.ErrnoException | undefined = undefined;
  /** Bytes that ever came. */
  receivedBytes = 0;
  #chunks: Buffer[] = [];
  #waiting = 0;
  readonly #waiters = new Set<() => void>();

  /** Names of fields came through HTTP/2, which has no capitals: messages show the usual ones. */
  spellsNames = false;

  /** Of the system; the test must know that it is one. */
  get tcp(): Socket {
    if (!(this.socket instanceof Socket)) throw new Error("this end is not a socket of the system");
    return this.socket;
  }

  constructor(socket: WireSocket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#waiting += chunk.length;
      this.receivedBytes += chunk.length;
      this.#wake();
    });
    socket.on("end", () => {
      this.ended = true;
      this.#wake();
    });
    socket.on("error", (error) => (this.error = error));
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  /** Takes no bytes off the network until {@link resume}. */
  pause(): this {
    this.socket.pause();
    return this;
  }

  resume(): this {
    this.socket.resume();
    return this;
  }

  /** Sends the bytes; a string stands for one byte a character. */
  send(...parts: (string | Uint8Array)[]): this {
    this.socket.cork();
    for (const part of parts) {
      if (typeof part === "string") this.socket.write(part, "latin1");
      else this.socket.write(part);
    }
    this.socket.uncork();
    return this;
  }

  /** Sends and waits until the system took it all. */
  sent(part: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: Error | null): void => (error ? reject(error) : resolve());
      if (typeof part === "string") this.socket.write(part, "latin1", done);
      else this.socket.write(part, done);
    });
  }

  /** Ends our direction. */
  end(): this {
    this.socket.end();
    return this;
  }

  /** Closes both directions. */
  close(): this {
    this.socket.destroy();
    return this;
  }

  /** Closes by a reset, so that the other side sees an error. */
  reset(): this {
    this.socket.resetAndDestroy();
    return this;
  }

  /** What came and was not taken, as text. */
  peek(): string {
    return this.#all().toString("latin1");
  }

  /** Exactly `count` bytes. */
  async bytes(count: number): Promise<Buffer> {
    await this.#until(() => this.#waiting >= count, `${count} bytes`);
    return this.#take(count);
  }

  /** Up to and including `mark`. */
  async upTo(mark: string): Promise<string> {
    let at = -1;
    await this.#until(() => (at = this.#all().indexOf(mark, 0, "latin1")) >= 0, JSON.stringify(mark));
    return this.#take(at + mark.length).toString("latin1");
  }

  /** Some bytes, however many. */
  async some(): Promise<Buffer> {
    await this.#until(() => this.#waiting > 0, "anything");
    return this.#take(this.#waiting);
  }

  /** All bytes to the end of the connection, which may come by FIN or by reset. */
  async rest(): Promise<Buffer> {
    await this.whenEnded();
    return this.#take(this.#waiting);
  }

  /** The next message, read by its framing. */
  message(options?: { toHead?: boolean }): Promise<Message> {
    return readMessage(this, options?.toHead ?? false);
  }

  /** The other side ended its direction, or the connection is gone. */
  async whenEnded(): Promise<void> {
    while (!this.ended && !this.closed) await this.#nextEvent();
  }

  /** The connection is gone. Only a wire that ended its own direction too gets there by itself. */
  async whenClosed(): Promise<void> {
    while (!this.closed) await this.#nextEvent();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await this.whenClosed();
  }

  async #until(satisfied: () => boolean, wanted: string): Promise<void> {
    while (!satisfied()) {
      if (this.closed) throw new WireEnded(wanted, this.#all(), this.error?.code ?? "closed");
      if (this.ended) throw new WireEnded(wanted, this.#all(), "FIN");
      await this.#nextEvent();
    }
  }

  #nextEvent(): Promise<void> {
    return new Promise((resolve) => this.#waiters.add(resolve));
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter();
    this.#waiters.clear();
  }

  #all(): Buffer {
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!;
  }

  #take(count: number): Buffer {
    const all = this.#all();
    this.#chunks = [all.subarray(count)];
    this.#waiting -= count;
    return all.subarray(0, count);
  }
}
