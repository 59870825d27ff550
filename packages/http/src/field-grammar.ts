import { InvalidHeaderError } from "./invalid-header-error.ts";

/** For each ASCII character: 1 if it may stand in a token (RFC 9110, section 5.6.2). */
const TOKEN: Uint8Array = Uint8Array.from({ length: 128 }, (_, code) =>
  /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(code)) ? 1 : 0,
);
// RFC 9112, section 3.2, widened by bytes above 0x7F, which clients do send. No space, no control, no fragment.
const TARGET = /^[\x21\x22\x24-\x7e\x80-\xff]+$/;

/** @throws InvalidHeaderError when `name` is not a token (RFC 9110, section 5.1). */
export function checkFieldName(name: string): void {
  if (typeof name !== "string" || !isToken(name)) {
    throw new InvalidHeaderError("field name", name, "a token: letters, digits and !#$%&'*+-.^_`|~");
  }
}

/** @throws InvalidHeaderError when `value` has a control character or one beyond latin1 (RFC 9110, section 5.5). */
export function checkFieldValue(name: string, value: string): void {
  if (typeof value !== "string" || !isFieldValue(value)) {
    throw new InvalidHeaderError(
      `value of ${name}`,
      value,
      "no control characters, and one character a byte (for UTF-8: Buffer.from(text).toString('latin1'))",
    );
  }
}

/** @throws InvalidHeaderError when `method` is not a token (RFC 9110, section 9.1). */
export function checkMethod(method: string): void {
  if (!isToken(method)) throw new InvalidHeaderError("method", method, "a token, such as GET");
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
  if (!isFieldValue(reason)) {
    throw new InvalidHeaderError("reason phrase", reason, "no control characters, and one character a byte");
  }
}

// Loops, since hooks set short names and values for every request: a regular expression takes four times as long for them.

function isToken(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 127 || TOKEN[code] === 0) return false;
  }
  return text.length > 0;
}

/** RFC 9110, section 5.5: VCHAR, obs-text, SP and HTAB; as characters of a latin1 string, one a byte. */
function isFieldValue(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if ((code < 0x20 && code !== 9) || code === 0x7f || code > 0xff) return false;
  }
  return true;
}
