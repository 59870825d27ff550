import { httpDateNow, type ResponseHeader } from "@sluice/http";
import { CONTENT_LENGTH, DATE, TE } from "../http1/known-fields.ts";
import type { HeadWriter } from "./connection/head-writer.ts";
import { goesByHttp2, writeFields } from "./fields.ts";

let sawDate = false;

/**
 * A final response head: `:status`, then the fields but for those that speak of one connection only. Date is added where there is
 * none (RFC 9110, section 6.6.1); the reason phrase does not exist in HTTP/2 (RFC 9113, section 8.3.2).
 */
export function writeResponseHead(head: HeadWriter, header: ResponseHeader): void {
  head.field(":status", statusText(header.status));
  sawDate = false;
  writeFields(head, header, goesDown);
  if (!sawDate) head.field("date", httpDateNow());
}

/** The head that opens a tunnel: 200, whatever HTTP/1 calls it (RFC 8441, section 5), without what HTTP/1 needs to agree on it. */
export function writeTunnelHead(head: HeadWriter, header: ResponseHeader): void {
  head.field(":status", statusText(header.status === 101 ? 200 : header.status));
  header.remove("sec-websocket-accept");
  writeFields(head, header, (tag, value) => tag !== CONTENT_LENGTH && goesDown(tag, value));
}

export function writeInterimHead(head: HeadWriter, header: ResponseHeader): void {
  head.field(":status", statusText(header.status));
  writeFields(head, header, goesDown);
}

/** By status: the same strings again and again. */
const STATUS_TEXTS: string[] = [];

function statusText(status: number): string {
  return (STATUS_TEXTS[status] ??= String(status));
}

function goesDown(tag: number, value: string): boolean {
  if (tag === DATE) sawDate = true;
  // TE is a request's.
  return tag !== TE && goesByHttp2(tag, value);
}
