import { checkReason, checkStatus } from "./field-grammar.ts";
import type { FieldLines } from "./field-lines.ts";
import { HeaderFields, type HeaderFieldsInit } from "./header-fields.ts";
import type { HttpVersion } from "./http-version.ts";
import { reasonPhrase } from "./reason-phrase.ts";

/** The head of a response, final or informational. */
export class ResponseHeader extends HeaderFields {
  version: HttpVersion;
  #status: number;
  #reason: string | undefined;

  /** @internal Takes the parts over as a parser has checked them; users call {@link ResponseHeader.build}. */
  constructor(status: number, reason: string | undefined, version: HttpVersion, fields?: string[] | FieldLines) {
    super(fields);
    this.#status = status;
    this.#reason = reason;
    this.version = version;
  }

  /** @throws InvalidHeaderError when the status is not an integer from 100 to 999 or a field cannot stand in a head. */
  static build(status: number, fields: HeaderFieldsInit = []): ResponseHeader {
    checkStatus(status);
    const header = new ResponseHeader(status, undefined, "1.1");
    header.appendAll(fields);
    return header;
  }

  get status(): number {
    return this.#status;
  }

  /** @throws InvalidHeaderError when it is not an integer from 100 to 999. */
  set status(status: number) {
    checkStatus(status);
    this.#status = status;
  }

  /** The phrase that was set, even if empty; else the standard phrase of the status at this moment. */
  get reason(): string {
    return this.#reason ?? reasonPhrase(this.#status);
  }

  /**
   * `undefined`, or the standard phrase of the current status, goes back to the standard phrase.
   * @throws InvalidHeaderError when it holds a control character.
   */
  set reason(reason: string | undefined) {
    if (reason !== undefined) checkReason(reason);
    this.#reason = reason === reasonPhrase(this.#status) ? undefined : reason;
  }

  /** 1xx: an interim response (101 included, which is final in effect). */
  get informational(): boolean {
    return this.#status < 200;
  }

  /**
   * `Content-Length: n`, replacing what was there.
   * @throws RangeError when `bytes` is not a non-negative safe integer.
   */
  setContentLength(bytes: number): this {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new RangeError(`Content-Length: expected a non-negative integer, got ${bytes}`);
    }
    return this.set("Content-Length", bytes);
  }

  clone(): ResponseHeader {
    const copy = new ResponseHeader(this.#status, this.#reason, this.version);
    copy.takeFieldsOf(this);
    return copy;
  }
}
