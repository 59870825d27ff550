import { ProxyError } from "@sluice/error";
import { ResponseHeader } from "@sluice/http";
import { parseLength } from "../http1/framing.ts";
import type { HeadLimits } from "../http1/head-limits.ts";
import { CONTENT_LENGTH, TAG_MASK } from "../http1/known-fields.ts";
import { INVALID, invalidField, PSEUDO, PSEUDO_STATUS } from "./field-mark.ts";
import { fieldFault, shown } from "./heads/field-rules.ts";
import type { FieldReceiver } from "./hpack/decoder.ts";

/**
 * A response's head, final or interim, as it comes field by field (RFC 9113, sections 8.2 and 8.3.2). Read out at once: one does for
 * all streams.
 */
export class Http2ResponseHead implements FieldReceiver {
  status = 0;
  /** What Content-Length says; -1: it is not there. */
  contentLength = -1;
  /** Which rule it breaks. */
  malformed: string | undefined = undefined;
  /** Bytes of names and values. */
  bytes = 0;
  #limits: HeadLimits = { maxHeadBytes: 0, maxFields: 0 };
  #fields: string[] = [];
  #neverIndexed: Set<string> | undefined = undefined;

  begin(limits: HeadLimits): this {
    this.#limits = limits;
    this.#fields = [];
    this.#neverIndexed = undefined;
    this.status = 0;
    this.contentLength = -1;
    this.malformed = undefined;
    this.bytes = 0;
    return this;
  }

  field(name: string, value: string, neverIndexed: boolean, mark: number): void {
    this.bytes += name.length + value.length;
    if (this.malformed !== undefined || this.#isTooLarge()) return;
    if (neverIndexed) (this.#neverIndexed ??= new Set()).add(name);
    if ((mark & PSEUDO) !== 0) this.malformed = this.#takePseudo(name, value, mark);
    else {
      if (mark !== 0) this.malformed = fieldFault(name, value, mark) ?? this.#takeKnown(value, mark & TAG_MASK);
      this.#fields.push(name, value);
    }
  }

  /** All of them came. */
  end(): void {
    if (this.malformed !== undefined || this.#isTooLarge()) return;
    if (this.status === 0) this.malformed = "a response without :status";
    // Section 8.6.
    else if (this.status === 101) this.malformed = "status 101, which HTTP/2 does not have";
    // RFC 9110, section 8.6.
    else if (this.contentLength >= 0 && this.status < 200) this.malformed = "Content-Length in an interim response";
    else if (this.contentLength > 0 && this.status === 204) this.malformed = "a Content-Length with status 204";
  }

  /** @throws ProxyError `InvalidHTTPHeader`, detail `too-large` beyond the limits. */
  take(): ResponseHeader {
    const { maxHeadBytes, maxFields } = this.#limits;
    if (this.bytes > maxHeadBytes) throw tooLarge(`of more than ${maxHeadBytes} bytes`);
    if (this.#fields.length > maxFields * 2) throw tooLarge(`with more than ${maxFields} fields`);
    const header = new ResponseHeader(this.status, undefined, "2", this.#fields);
    header.neverIndexed = this.#neverIndexed;
    return header;
  }

  #isTooLarge(): boolean {
    return this.bytes > this.#limits.maxHeadBytes || this.#fields.length > this.#limits.maxFields * 2;
  }

  #takePseudo(name: string, value: string, mark: number): string | undefined {
    if ((mark & INVALID) !== 0) return invalidField(name, value);
    if (mark !== PSEUDO_STATUS) return `the pseudo-header field ${shown(name)} in a response`;
    if (this.#fields.length > 0) return `${name} behind other fields`;
    if (this.status !== 0) return `${name} twice`;
    const status = value.length === 3 ? parseLength(value) : -1;
    if (status < 100) return `:status ${shown(value)}`;
    this.status = status;
    return undefined;
  }

  #takeKnown(value: string, tag: number): string | undefined {
    if (tag !== CONTENT_LENGTH) return undefined;
    if (this.contentLength >= 0) return "Content-Length twice";
    this.contentLength = parseLength(value);
    return this.contentLength < 0 ? `Content-Length ${shown(value)}` : undefined;
  }
}

function tooLarge(what: string): ProxyError {
  return ProxyError.upstream("InvalidHTTPHeader", `a response head ${what}`).setDetail("too-large");
}
