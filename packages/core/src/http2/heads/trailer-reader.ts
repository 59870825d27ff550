import { HeaderFields } from "@sluice/http";
import type { HeadLimits } from "../../http1/head-limits.ts";
import { PSEUDO } from "../field-mark.ts";
import type { FieldReceiver } from "../hpack/decoder.ts";
import { fieldFault } from "./field-rules.ts";

/** Takes the fields that end a message (RFC 9113, section 8.1). Read out at once; so one does for all streams. */
export class TrailerReader implements FieldReceiver {
  /** What makes them malformed. */
  malformed: string | undefined = undefined;
  tooLarge = false;
  #fields: string[] = [];
  #neverIndexed: Set<string> | undefined = undefined;
  #bytes = 0;
  #limits: HeadLimits = { maxHeadBytes: 0, maxFields: 0 };

  begin(limits: HeadLimits): this {
    this.#limits = limits;
    this.#fields = [];
    this.#neverIndexed = undefined;
    this.#bytes = 0;
    this.malformed = undefined;
    this.tooLarge = false;
    return this;
  }

  field(name: string, value: string, neverIndexed: boolean, mark: number): void {
    if (this.malformed !== undefined || this.tooLarge) return;
    if (neverIndexed) (this.#neverIndexed ??= new Set()).add(name);
    // RFC 9113, section 8.1.
    if ((mark & PSEUDO) !== 0) this.malformed = `the pseudo-header field ${name} in trailers`;
    else this.malformed = fieldFault(name, value, mark);
    this.#bytes += name.length + value.length;
    const { maxHeadBytes, maxFields } = this.#limits;
    this.tooLarge = this.#bytes > maxHeadBytes || this.#fields.length >= maxFields * 2;
    this.#fields.push(name, value);
  }

  /** All of them; `undefined` if there were none. */
  take(): HeaderFields | undefined {
    if (this.#fields.length === 0) return undefined;
    const trailers = new HeaderFields(this.#fields);
    trailers.neverIndexed = this.#neverIndexed;
    return trailers;
  }
}
