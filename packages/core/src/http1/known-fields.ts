import { sameName } from "@sluice/http";

/** The fields that mean something to HTTP/1 itself, as tags of field lines; 0 is any other field. */
export const HOST = 1;
export const DATE = 2;
export const EXPECT = 3;
export const UPGRADE = 4;
export const CONNECTION = 5;
export const KEEP_ALIVE = 6;
export const CONTENT_LENGTH = 7;
export const TRANSFER_ENCODING = 8;
export const TE = 9;
const PROXY_CONNECTION = 10;

/** Takes the tag out of a line's mark. */
export const TAG_MASK = 31;

/** Speak of one connection only (RFC 9110, section 7.6.1). `TE` too: the session that sends says anew what it can do. */
export function isHopByHop(tag: number): boolean {
  return tag >= CONNECTION ? tag !== CONTENT_LENGTH : tag === UPGRADE;
}

/** The tag of a name. The length tells most names apart, so that few are compared at all. */
export function knownField(name: string): number {
  switch (name.length) {
    case 2:
      return sameName(name, "te") ? TE : 0;
    case 4:
      return sameName(name, "host") ? HOST : sameName(name, "date") ? DATE : 0;
    case 6:
      return sameName(name, "expect") ? EXPECT : 0;
    case 7:
      return sameName(name, "upgrade") ? UPGRADE : 0;
    case 10:
      return sameName(name, "connection") ? CONNECTION : sameName(name, "keep-alive") ? KEEP_ALIVE : 0;
    case 14:
      return sameName(name, "content-length") ? CONTENT_LENGTH : 0;
    case 16:
      return sameName(name, "proxy-connection") ? PROXY_CONNECTION : 0;
    case 17:
      return sameName(name, "transfer-encoding") ? TRANSFER_ENCODING : 0;
    default:
      return 0;
  }
}

/** The same for a name that is a token in `buffer`, without making a string of it. */
export function knownFieldAt(buffer: Buffer, from: number, end: number): number {
  switch (end - from) {
    case 2:
      return isNamed(buffer, from, "te") ? TE : 0;
    case 4:
      return isNamed(buffer, from, "host") ? HOST : isNamed(buffer, from, "date") ? DATE : 0;
    case 6:
      return isNamed(buffer, from, "expect") ? EXPECT : 0;
    case 7:
      return isNamed(buffer, from, "upgrade") ? UPGRADE : 0;
    case 10:
      return isNamed(buffer, from, "connection") ? CONNECTION : isNamed(buffer, from, "keep-alive") ? KEEP_ALIVE : 0;
    case 14:
      return isNamed(buffer, from, "content-length") ? CONTENT_LENGTH : 0;
    case 16:
      return isNamed(buffer, from, "proxy-connection") ? PROXY_CONNECTION : 0;
    case 17:
      return isNamed(buffer, from, "transfer-encoding") ? TRANSFER_ENCODING : 0;
    default:
      return 0;
  }
}

/** Of the names above, letters and hyphens only: with bit 5 set, no other token byte equals one of them. */
function isNamed(buffer: Buffer, from: number, lower: string): boolean {
  for (let at = 0; at < lower.length; at++) {
    if ((buffer[from + at]! | 0x20) !== lower.charCodeAt(at)) return false;
  }
  return true;
}
