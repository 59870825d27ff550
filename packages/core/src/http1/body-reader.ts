import { ProxyError } from "@sluice/error";
import { HeaderFields } from "@sluice/http";
import { appendBytes } from "../net/append-bytes.ts";
import { latin1 } from "../net/latin1.ts";
import { CLASS, CR, FIELD_VALUE, HEX, HTAB, LF, SP } from "./grammar.ts";
import type { HeadLimits } from "./head-limits.ts";
import { PartialHead } from "./partial-head.ts";
import { quoteLine } from "./reject.ts";
import { scanFields, takeFields } from "./scan-fields.ts";

/** Bytes of chunk extensions in one message: they carry nothing that anybody reads. */
const MAX_EXTENSION_BYTES = 16_384;
/** Bytes of a trailer section. */
const MAX_TRAILER_BYTES = 16_384;
/** 2^53 has 14 hexadecimal digits; two more for leading zeros. */
const MAX_SIZE_DIGITS = 16;

// Where the reader stands. Numbers, since every chunk passes here; each is headed by what it can lead to.
/** The end of this message, for ever. */
const COMPLETE = 0;
/** → COMPLETE */
const LENGTH = 1;
/** → COMPLETE, by the end of the connection */
const UNTIL_CLOSE = 2;
/** → SIZE_SPACE, EXTENSION, SIZE_LF */
const SIZE = 3;
/** → SIZE_LF */
const EXTENSION = 4;
/** → DATA, TRAILERS */
const SIZE_LF = 5;
/** → DATA_CR */
const DATA = 6;
/** → DATA_LF */
const DATA_CR = 7;
/** → SIZE */
const DATA_LF = 8;
/** → COMPLETE */
const TRAILERS = 9;
/** → EXTENSION, SIZE_LF */
const SIZE_SPACE = 10;

/**
 * Finds the payload of one message after another in the bytes of a connection: Content-Length, chunked or until the
 * connection closes (RFC 9112, sections 6.3 and 7.1). It keeps no bytes but those of an unfinished trailer section.
 */
export class BodyReader {
  /** The payload found by the last {@link read}; take it before the next. */
  piece: Buffer | undefined = undefined;
  /** The trailer fields of a chunked message that is complete; `undefined` if there were none. */
  trailers: HeaderFields | undefined = undefined;
  /** Payload bytes of this message so far. */
  bytes = 0;
  #state = COMPLETE;
  /** Bytes left of the body or of the chunk. */
  #left = 0;
  #digits = 0;
  #extensionBytes = 0;
  /** An unfinished trailer section, its bytes and how far they were looked at. */
  #trailerBuffer: Buffer | undefined = undefined;
  #trailerBytes = 0;
  #partialTrailers: PartialHead | undefined = undefined;
  readonly #limits: HeadLimits;
  readonly #lenient: boolean;

  /** @param lenient Spaces after a chunk size are taken, as some origins send them. */
  constructor(limits: HeadLimits, lenient: boolean) {
    this.#limits = limits;
    this.#lenient = lenient;
  }

  /** Nothing of the message is left. */
  get done(): boolean {
    return this.#state === COMPLETE;
  }

  /** Payload bytes that are still to come at least: of a chunked message, those of its chunk. */
  get left(): number {
    return this.#left;
  }

  /** The message ends where the connection ends. */
  get untilClose(): boolean {
    return this.#state === UNTIL_CLOSE;
  }

  startEmpty(): void {
    this.#start(COMPLETE);
  }

  startLength(length: number): void {
    this.#start(length === 0 ? COMPLETE : LENGTH);
    this.#left = length;
  }

  startChunked(): void {
    this.#start(SIZE);
    this.#left = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
  }

  startUntilClose(): void {
    this.#start(UNTIL_CLOSE);
  }

  /** The connection ended: the message of {@link untilClose} is complete. */
  endOfConnection(): void {
    if (this.#state === UNTIL_CLOSE) this.#state = COMPLETE;
  }

  /**
   * Reads on in `buffer` until there is one piece of payload, the message is complete, or the bytes are used up.
   * @returns The position after what was used. {@link piece} holds the payload, if any, as a view, not a copy.
   * @throws ProxyError `InvalidChunk` or `InvalidTrailerEnd`, source unset until the side is known.
   */
  read(buffer: Buffer, from: number, end: number): number {
    let at = from;
    while (at < end) {
      switch (this.#state) {
        case COMPLETE:
          return at;
        case LENGTH:
          at = this.#take(buffer, at, end);
          if (this.#left === 0) this.#state = COMPLETE;
          return at;
        case UNTIL_CLOSE:
          this.#left = end - at;
          return this.#take(buffer, at, end);
        case DATA:
          at = this.#take(buffer, at, end);
          if (this.#left === 0) this.#state = DATA_CR;
          // The CR LF after the chunk is nearly always here too; with it the end can be known at once.
          if (this.#left === 0 && at + 1 < end) at = this.#afterData(buffer, at, end);
          return at;
        case DATA_CR:
        case DATA_LF:
          at = this.#afterData(buffer, at, end);
          break;
        case SIZE:
        case SIZE_SPACE:
        case EXTENSION:
        case SIZE_LF:
          at = this.#readSize(buffer, at, end);
          break;
        case TRAILERS:
          return this.#readTrailers(buffer, at, end);
      }
    }
    return at;
  }

  #start(state: number): void {
    this.#state = state;
    this.bytes = 0;
    this.piece = undefined;
    this.trailers = undefined;
    if (this.#trailerBuffer !== undefined) this.#forgetTrailers();
  }

  #take(buffer: Buffer, at: number, end: number): number {
    const stop = end - at > this.#left ? at + this.#left : end;
    this.piece = at === 0 && stop === buffer.length ? buffer : buffer.subarray(at, stop);
    this.#left -= stop - at;
    this.bytes += stop - at;
    return stop;
  }

  #readSize(buffer: Buffer, from: number, end: number): number {
    let at = from;
    for (; at < end; at++) {
      const byte = buffer[at]!;
      if (this.#state === SIZE) {
        const digit = HEX[byte]!;
        if (digit >= 0) {
          this.#left = this.#left * 16 + digit;
          if (++this.#digits > MAX_SIZE_DIGITS || this.#left > Number.MAX_SAFE_INTEGER) {
            throw invalidChunk("a chunk size beyond 2^53-1");
          }
          continue;
        }
        if (this.#digits === 0) throw invalidChunk(`no chunk size: ${quoteLine(buffer, at, end)}`);
        this.#afterSize(buffer, at, end);
      } else if (this.#state === SIZE_SPACE) {
        this.#countExtension();
        this.#afterSize(buffer, at, end);
      } else if (this.#state === EXTENSION) {
        if (byte === CR) this.#state = SIZE_LF;
        else if ((CLASS[byte]! & FIELD_VALUE) === 0) throw invalidChunk("a control character in a chunk extension");
        else this.#countExtension();
      } else {
        if (byte !== LF) throw invalidChunk("a CR without LF after a chunk size");
        this.#digits = 0;
        this.#state = this.#left === 0 ? TRAILERS : DATA;
        return at + 1;
      }
    }
    return at;
  }

  #afterSize(buffer: Buffer, at: number, end: number): void {
    const byte = buffer[at]!;
    if (byte === CR) this.#state = SIZE_LF;
    else if (byte === 0x3b) this.#state = EXTENSION;
    else if (this.#lenient && (byte === SP || byte === HTAB)) this.#state = SIZE_SPACE;
    else throw invalidChunk(`a chunk size is followed by ${quoteLine(buffer, at, end)}`);
  }

  #countExtension(): void {
    if (++this.#extensionBytes <= MAX_EXTENSION_BYTES) return;
    throw invalidChunk(`more than ${MAX_EXTENSION_BYTES} bytes of chunk extensions`);
  }

  #afterData(buffer: Buffer, from: number, end: number): number {
    let at = from;
    if (this.#state === DATA_CR) {
      if (buffer[at++] !== CR) throw invalidChunk("a chunk is longer than its size");
      this.#state = DATA_LF;
    }
    if (at < end) {
      if (buffer[at++] !== LF) throw invalidChunk("a CR without LF after a chunk");
      this.#state = SIZE;
      // A last chunk that is already here completes the message together with the data before it.
      if (end - at === 5 && latin1(buffer, at, end) === "0\r\n\r\n") {
        this.#state = COMPLETE;
        at = end;
      }
    }
    return at;
  }

  #readTrailers(buffer: Buffer, from: number, end: number): number {
    if (this.#trailerBuffer === undefined && end - from >= 2 && buffer[from] === CR && buffer[from + 1] === LF) {
      this.#state = COMPLETE;
      return from + 2;
    }
    const before = this.#trailerBytes;
    const held = this.#trailerBuffer;
    const section = held === undefined ? buffer : appendBytes(held, 0, before, buffer.subarray(from, end), end - from);
    const start = held === undefined ? from : 0;
    const bytes = before + end - from;
    const sectionEnd = this.#scanTrailers(section, start, start + bytes);
    if ((sectionEnd < 0 ? bytes : sectionEnd - start) > MAX_TRAILER_BYTES) {
      throw new ProxyError("InvalidTrailerEnd", { context: `more than ${MAX_TRAILER_BYTES} bytes of trailers` });
    }
    if (sectionEnd < 0) {
      this.#trailerBuffer = held === undefined ? Buffer.from(buffer.subarray(from, end)) : section;
      this.#trailerBytes = bytes;
      return end;
    }
    const trailers = new HeaderFields(takeFields(latin1(section, start, sectionEnd), start));
    if (trailers.size > 0) this.trailers = trailers;
    this.#state = COMPLETE;
    this.#forgetTrailers();
    return from + sectionEnd - start - before;
  }

  #scanTrailers(section: Buffer, from: number, end: number): number {
    const partial = this.#partialTrailers;
    try {
      if (partial?.isStillPartial(section, from, end, MAX_TRAILER_BYTES, this.#limits, false)) return -1;
      const sectionEnd = scanFields(section, from, end, this.#limits, false);
      if (sectionEnd < 0) (this.#partialTrailers ??= new PartialHead()).stoppedInFields(from, end);
      return sectionEnd;
    } catch (cause) {
      throw new ProxyError("InvalidTrailerEnd", { context: "in a trailer section", cause });
    }
  }

  #forgetTrailers(): void {
    this.#trailerBuffer = undefined;
    this.#trailerBytes = 0;
    this.#partialTrailers = undefined;
  }
}

function invalidChunk(context: string): ProxyError {
  return new ProxyError("InvalidChunk", { context });
}
