import { InvalidHeaderError } from "./invalid-header-error.ts";

// RFC 9110, section 5.6.2: token.
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// RFC 9110, section 5.5: VCHAR, obs-text, SP and HTAB; as characters of a latin1 string, one per byte.
// eslint-disable-next-line no-control-regex -- HTAB belongs to the grammar
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
// RFC 9112, section 3.2, widened by bytes above 0x7F, which clients do send. No space, no control, no fragment.
const TARGET = /^[\x21\x22\x24-\x7e\x80-\xff]+$/;

/** @throws InvalidHeaderError when `name` is not a token (RFC 9110, section 5.1). */
export function checkFieldName(name: string): void {
  if (typeof name !== "string" || !TOKEN.test(name)) {
    throw new InvalidHeaderError("field name", name, "a token: letters, digits and !#$%&'*+-.^_`|~");
  }
}

/** @throws InvalidHeaderError when `value` has a control character or one beyond latin1 (RFC 9110, section 5.5). */
export function checkFieldValue(name: string, value: string): void {
  if (typeof value !== "string" || !FIELD_VALUE.test(value)) {
    throw new InvalidHeaderError(
      `value of ${name}`,
      value,
      "no control characters, and one character a byte (for UTF-8: Buffer.from(text).toString('latin1'))",
    );
  }
}

/** @throws InvalidHeaderError when `method` is not a token (RFC 9110, section 9.1). */
export function checkMethod(method: string): void {
  if (!TOKEN.test(method)) throw new InvalidHeaderError("method", method, "a token, such as GET");
}

/** @throws InvalidHeaderError when `target` is empty or holds a space, a control character or a fragment. */
export function checkTarget(target: string): void {
  if (!TARGET.test(target)) {
    throw new InvalidHeaderError("request target", target, "visible characters, one a byte, without #fragment");
  }
}

/** @throws InvalidHeaderError when `status` is not an integer from 100 to 999. */
export function checkStatus(status: number): void {
  if (!Number.isInteger(status) || status < 100 || status > 999) {
    throw new InvalidHeaderError("status", String(status), "an integer from 100 to 999");
  }
}

/** @throws InvalidHeaderError when `reason` could not stand in a status line (RFC 9112, section 4). */
export function checkReason(reason: string): void {
  if (!FIELD_VALUE.test(reason)) {
    throw new InvalidHeaderError("reason phrase", reason, "no control characters, and one character a byte");
  }
}
