import { CLASS, FIELD_VALUE, HTAB, OWS, SP, TOKEN } from "../http1/grammar.ts";
import { knownField } from "../http1/known-fields.ts";

/*
 * What is known of a field is one number, its mark: with a field that comes again and again from the table of a connection comes its
 * mark, so that its grammar is checked once. In the low five bits stands which name it is (`known-fields.ts`; of a pseudo-header
 * field one of the names below; 0: any other).
 */

/** The name or the value may not stand in a message (RFC 9113, section 8.2.1). */
export const INVALID = 64;
/** The name begins with a colon: a pseudo-header field (RFC 9113, section 8.3). */
export const PSEUDO = 128;

export const PSEUDO_AUTHORITY: number = PSEUDO | 1;
export const PSEUDO_METHOD: number = PSEUDO | 2;
export const PSEUDO_PATH: number = PSEUDO | 3;
export const PSEUDO_SCHEME: number = PSEUDO | 4;
export const PSEUDO_STATUS: number = PSEUDO | 5;
/** RFC 8441, section 4. */
export const PSEUDO_PROTOCOL: number = PSEUDO | 6;

const COLON = 0x3a;

/** The mark that a name alone gives: {@link INVALID} unless it is a token in lower case, or a colon and one. */
export function nameMark(name: string): number {
  const pseudo = name.charCodeAt(0) === COLON;
  const first = pseudo ? 1 : 0;
  if (name.length === first) return INVALID;
  for (let at = first; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if ((CLASS[code]! & TOKEN) === 0 || (code >= 0x41 && code <= 0x5a)) return INVALID;
  }
  return pseudo ? pseudoMark(name) : knownField(name);
}

/** The mark that a value adds to that of its name: {@link INVALID} for a control character, or space around it; 0 otherwise. */
export function valueMark(bytes: Buffer, from: number, end: number): number {
  let common = FIELD_VALUE;
  for (let at = from; at < end; at++) common &= CLASS[bytes[at]!]!;
  if (common === 0) return INVALID;
  return end > from && ((CLASS[bytes[from]!]! | CLASS[bytes[end - 1]!]!) & OWS) !== 0 ? INVALID : 0;
}

/** What is wrong with a field whose mark says {@link INVALID}. */
export function invalidField(name: string, value: string): string {
  if (name === "") return "a field without a name";
  if ((nameMark(name) & INVALID) !== 0) {
    const upper = /^:?[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name);
    return `a field name ${upper ? "in upper case" : "that is no token"}: ${JSON.stringify(name)}`;
  }
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(value.length - 1);
  const spaced = first === SP || first === HTAB || last === SP || last === HTAB;
  return `a value of ${name} with ${spaced ? "space around it" : "a control character"}`;
}

function pseudoMark(name: string): number {
  switch (name) {
    case ":authority":
      return PSEUDO_AUTHORITY;
    case ":method":
      return PSEUDO_METHOD;
    case ":path":
      return PSEUDO_PATH;
    case ":scheme":
      return PSEUDO_SCHEME;
    case ":status":
      return PSEUDO_STATUS;
    case ":protocol":
      return PSEUDO_PROTOCOL;
    default:
      return PSEUDO;
  }
}
