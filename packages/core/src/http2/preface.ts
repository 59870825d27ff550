/** With which a client of HTTP/2 begins (RFC 9113, section 3.4). To HTTP/1 it is a request whose version is too high. */
export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Whether bytes are the preface: the whole of it, a part that may become it, or none. */
export function matchPreface(bytes: Buffer, from: number, end: number): "whole" | "part" | "none" {
  const length = Math.min(end - from, PREFACE.length);
  if (PREFACE.compare(bytes, from, from + length, 0, length) !== 0) return "none";
  return length === PREFACE.length ? "whole" : "part";
}
