import { once } from "node:events";
import type { Http2Session, Http2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { NotationError, type Field } from "./message-notation.ts";

/** What an end of HTTP/2 stands on. */
export interface Http2Base {
  readonly session: Http2Session;
  /** What the session writes to: by TLS, or the same as `socket`. */
  readonly secured: Socket;
  readonly socket: Socket;
}

/**
 * One end of a connection of HTTP/2, which a test writes and reads as if it were one of HTTP/1.1: an exchange behind the other. A message
 * that the other side cuts ends it; closing it closes the connection, in the middle of whatever goes on there.
 */
export abstract class Http2End extends Duplex {
  protected readonly base: Http2Base;
  #writes = 0;
  #written: (() => void) | undefined = undefined;
  #resets = false;

  constructor(base: Http2Base) {
    super({ allowHalfOpen: true });
    this.base = base;
    base.session.on("error", () => undefined);
    base.session.on("close", () => this.over());
    base.secured.on("error", () => undefined);
    base.socket.on("error", (error) => this.destroy(error));
    base.socket.on("close", () => this.over());
  }

  get localPort(): number | undefined {
    return this.base.socket.localPort;
  }

  resetAndDestroy(): void {
    this.#resets = true;
    this.destroy();
  }

  /** The other side ended, or cut what it sent. */
  protected over(): void {
    if (!this.readableEnded && !this.destroyed && !this.ended) this.push(null);
    this.ended = true;
  }

  protected ended = false;

  /** It has nothing to do with the connection any more, which others use. */
  protected abstract get detached(): boolean;
  /** The stream that bytes go to and come from. */
  protected abstract get current(): Http2Stream | undefined;
  /** What the test has written. */
  protected abstract told(bytes: Buffer): void;
  /** The test ended its direction; gives whether the connection is to be ended with it. */
  protected abstract finish(): boolean;

  /** Shows bytes to the test, and stops their stream when the test has enough. */
  protected show(bytes: string | Buffer): void {
    if (this.ended || this.destroyed) return;
    if (!this.push(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes)) this.current?.pause();
  }

  /** Writes to a stream, if it is still there. */
  protected pass(stream: Http2Stream, piece: Buffer): void {
    if (stream.destroyed || stream.closed) return;
    this.#writes++;
    // The piece is a part of what the test has given.
    stream.write(Buffer.from(piece), () => {
      if (--this.#writes > 0) return;
      const written = this.#written;
      this.#written = undefined;
      written?.();
    });
  }

  override _read(): void {
    this.current?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    try {
      this.told(chunk);
    } catch (error) {
      // Nobody must take it for a lost connection.
      if (error instanceof NotationError) process.nextTick(() => Promise.reject(error));
      done(error as Error);
      return;
    }
    if (this.#writes === 0) done();
    else this.#written = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    void this.#flushed().then(() => {
      if (!this.detached && this.finish()) this.base.secured.end();
      done();
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    void this.#flushed().then(() => {
      const { socket, session } = this.base;
      if (this.detached) {
        done(error);
        return;
      }
      if (this.#resets && !socket.destroyed) socket.resetAndDestroy();
      else socket.destroy();
      session.destroy();
      if (socket.closed) done(error);
      else void once(socket, "close").then(() => done(error));
    });
  }

  /** What was written has gone to the system: the session does so when the event loop turns. */
  async #flushed(): Promise<void> {
    for (let n = 0; n < 3; n++) await turn();
  }
}

const OF_CONNECTION: ReadonlySet<string> = new Set(["connection", "keep-alive", "proxy-connection", "upgrade", "host"]);

/** The fields that may stand in HTTP/2, as a flat list. */
export function flatFields(fields: readonly Field[]): string[] {
  const flat: string[] = [];
  for (const [name, value] of fields) {
    const lower = name.toLowerCase();
    if (!OF_CONNECTION.has(lower) && lower !== "transfer-encoding") flat.push(lower, value);
  }
  return flat;
}

/** The fields of a flat list, without the pseudo ones. */
export function fieldsOf(flat: readonly string[]): Field[] {
  const fields: Field[] = [];
  for (let at = 0; at < flat.length; at += 2) {
    if (!flat[at]!.startsWith(":")) fields.push([flat[at]!, flat[at + 1]!]);
  }
  return fields;
}

/** The same as an object. */
export function fieldsObject(fields: readonly Field[]): Record<string, string | string[]> {
  const object: Record<string, string[]> = {};
  const flat = flatFields(fields);
  for (let at = 0; at < flat.length; at += 2) (object[flat[at]!] ??= []).push(flat[at + 1]!);
  return Object.fromEntries(
    Object.entries(object).map(([name, values]) => [name, values.length > 1 ? values : values[0]!]),
  );
}

/** The value of a pseudo field. */
export function pseudo(flat: readonly string[], name: string): string | undefined {
  const at = flat.indexOf(name);
  return at < 0 ? undefined : flat[at + 1];
}
