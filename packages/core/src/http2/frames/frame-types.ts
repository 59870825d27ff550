// The wire of HTTP/2 by its numbers (RFC 9113, sections 4.1 and 6).

export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;
export const PADDED = 8;
export const HAS_PRIORITY = 32;

export const FRAME_HEAD_BYTES = 9;
/** Section 4.2: the size that everybody takes, and that holds until SETTINGS say otherwise. */
export const LEAST_MAX_FRAME_BYTES = 16_384;
/** Section 6.9.2: windows before SETTINGS and WINDOW_UPDATE say otherwise. */
export const DEFAULT_WINDOW_BYTES = 65_535;
/** Section 6.9.1. */
export const MAX_WINDOW_BYTES: number = 2 ** 31 - 1;
/** Section 5.1.1. */
export const MAX_STREAM_ID: number = 2 ** 31 - 1;
