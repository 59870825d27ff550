import { ProxyError } from "@sluice/error";
import type { Transform } from "node:stream";
import type { Zlib } from "node:zlib";
import { nowMs } from "../net/clock.ts";

/** How a body fails that cannot be coded. */
export interface PieceStreamRules {
  /** For messages: `gzip`. */
  readonly name: string;
  /** Goes out before all else. */
  readonly prefix?: Uint8Array;
  /** What comes is in a coding that an upstream made: it may be wrong, cut short, or a bomb. Else it is anything. */
  readonly decodes?: DecodingLimits;
}

export interface DecodingLimits {
  readonly maxBytes: number;
  /** Bytes out for each byte in. */
  readonly maxRatio: number;
}

/** A short body may well be a thousand spaces. */
const RATIO_FROM_BYTES = 1_048_576;
const EMPTY = new Uint8Array(0);

/**
 * A stream of `node:zlib`, fed piece by piece: each call gives a promise of all bytes that came of it, and the next one waits
 * for that. So nothing piles up between the two sides, and the work is done beside the event loop.
 *
 * Holds memory that the garbage collector does not see: ends by {@link end} or {@link destroy}.
 */
export class PieceStream {
  bytesIn = 0;
  bytesOut = 0;
  /** Time that calls took. Milliseconds. */
  spentMs = 0;
  readonly #stream: Transform & Zlib;
  readonly #rules: PieceStreamRules;
  #made: Uint8Array[] = [];
  #call: { resolve(bytes: Uint8Array): void; reject(error: ProxyError): void } | undefined = undefined;
  #callAtMs = 0;
  #failure: ProxyError | undefined = undefined;
  /** The end was asked for. */
  #ending = false;

  constructor(stream: Transform & Zlib, rules: PieceStreamRules) {
    this.#stream = stream;
    this.#rules = rules;
    if (rules.prefix !== undefined) this.#take(rules.prefix);
    stream.on("data", (bytes: Uint8Array) => this.#take(bytes));
    stream.on("end", () => this.#onEnd());
    stream.on("error", (error: Error) => this.#fail("is not what it says to be, or was cut short", error));
  }

  /** @param piece Must stay as it is until the promise resolves. */
  write(piece: Uint8Array): Promise<Uint8Array> {
    return this.#start(() => {
      this.bytesIn += piece.length;
      this.#stream.write(piece, () => this.#settle());
    });
  }

  /** What is held back to be coded with what follows. @param kind The constant of `node:zlib` for it. */
  flush(kind: number): Promise<Uint8Array> {
    return this.#start(() => this.#stream.flush(kind, () => this.#settle()));
  }

  /** The last bytes, and the memory is given back. */
  end(): Promise<Uint8Array> {
    return this.#start(() => {
      this.#ending = true;
      if (this.bytesIn > 0 || this.#rules.decodes === undefined) {
        this.#stream.end();
        return;
      }
      // Servers do name a coding for a body that is not there.
      this.#stream.destroy();
      this.#settle();
    });
  }

  /** Gives the memory back; a call that waits is rejected. */
  destroy(): void {
    this.#failWith(ProxyError.internal("InternalError", `${this.#rules.name}: given up before its end`));
  }

  #start(begin: () => void): Promise<Uint8Array> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#call !== undefined || this.#ending) {
      const state = this.#ending ? "after the end" : "while another one waits";
      return Promise.reject(ProxyError.internal("InternalError", `${this.#rules.name}: a call ${state}`));
    }
    return new Promise((resolve, reject) => {
      this.#call = { resolve, reject };
      this.#callAtMs = nowMs();
      begin();
    });
  }

  #take(bytes: Uint8Array): void {
    if (this.#failure !== undefined) return;
    this.bytesOut += bytes.length;
    this.#made.push(bytes);
    const { decodes } = this.#rules;
    if (decodes === undefined) return;
    if (this.bytesOut > decodes.maxBytes) {
      this.#fail(`decompresses to more than ${decodes.maxBytes} bytes (maxDecompressedBytes)`);
    } else if (this.bytesOut > RATIO_FROM_BYTES && this.bytesOut > this.bytesIn * decodes.maxRatio) {
      this.#fail(`decompresses to more than ${decodes.maxRatio} times its length (maxDecompressionRatio)`);
    }
  }

  #onEnd(): void {
    // It also ends where it finds that what follows is no part of it.
    if (this.#rules.decodes !== undefined && (!this.#ending || this.#stream.bytesWritten !== this.bytesIn)) {
      this.#fail("has bytes after its end");
    } else {
      this.#settle();
    }
  }

  #settle(): void {
    const call = this.#call;
    if (call === undefined || this.#failure !== undefined) return;
    this.#call = undefined;
    this.spentMs += nowMs() - this.#callAtMs;
    const made = this.#made;
    this.#made = [];
    call.resolve(made.length === 0 ? EMPTY : made.length === 1 ? made[0]! : Buffer.concat(made));
  }

  #fail(what: string, cause?: Error): void {
    const { name, decodes } = this.#rules;
    const error =
      decodes === undefined
        ? ProxyError.internal("InternalError", `the body could not be compressed as ${name}`, cause)
        : ProxyError.upstream("InvalidContentCoding", `the body (Content-Encoding: ${name}) ${what}`, cause);
    this.#failWith(error);
  }

  #failWith(error: ProxyError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#made = [];
    this.#stream.destroy();
    this.#call?.reject(error);
    this.#call = undefined;
  }
}
