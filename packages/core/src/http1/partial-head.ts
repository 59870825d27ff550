import { CLASS } from "./grammar.ts";
import type { HeadLimits } from "./head-limits.ts";
import { lastStop, scanFields } from "./scan-fields.ts";

/**
 * How far the parts of a head (or of a trailer section) that have come were looked at, so that they are not looked at again
 * whenever a byte more comes: a head of 64 KiB that came byte by byte would be two thousand million bytes to look at. Here
 * each byte is looked at a few times.
 *
 * What is found out of a head is the same as without this, and at the same byte.
 */
export class PartialHead {
  // Positions count from the start of the head: it may have moved to another buffer meanwhile.
  /** Where the field line begins that is not whole; -1 while the start line is not. */
  #line = -1;
  /** Field lines before it. */
  #fields = 0;
  /** What was looked at. */
  #seen = 0;
  /** Bytes of these classes leave the line as unfinished as it is; 0: any byte may decide something. */
  #accepts = 0;

  /**
   * Whether the head that begins at `from` is not complete yet, as far as can be told without looking at all of it. If not,
   * it is to be parsed from its start, which may still find that it is not complete.
   * @param maxBytes A head that is larger is to be parsed: somebody must say so.
   * @throws ProxyError What {@link scanFields} throws.
   */
  isStillPartial(
    buffer: Buffer,
    from: number,
    arrived: number,
    maxBytes: number,
    limits: HeadLimits,
    lenient: boolean,
  ): boolean {
    if (arrived - from > maxBytes) return false;
    if (this.#goesOn(buffer, from, arrived)) return true;
    if (this.#line < 0) return false;
    if (scanFields(buffer, from + this.#line, arrived, limits, lenient, this.#fields) >= 0) return false;
    this.stoppedInFields(from, arrived);
    return true;
  }

  /** A parser stopped in the start line. @param accepts Classes of bytes that can follow without deciding anything. */
  stoppedInStartLine(from: number, arrived: number, accepts: number): void {
    this.#line = -1;
    this.#seen = arrived - from;
    this.#accepts = accepts;
  }

  /** The last {@link scanFields}, of this head, stopped. */
  stoppedInFields(from: number, arrived: number): void {
    this.#line = lastStop.line - from;
    this.#fields = lastStop.fields;
    this.#seen = arrived - from;
    this.#accepts = lastStop.accepts;
  }

  #goesOn(buffer: Buffer, from: number, arrived: number): boolean {
    const accepts = this.#accepts;
    let at = from + this.#seen;
    if (accepts === 0) return at === arrived && at > from;
    while (at < arrived && (CLASS[buffer[at]!]! & accepts) !== 0) at++;
    if (at < arrived) return false;
    this.#seen = arrived - from;
    return true;
  }
}
