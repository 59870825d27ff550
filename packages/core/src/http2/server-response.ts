import type { OutgoingHttpHeaders, ServerHttp2Stream, ServerStreamResponseOptions } from "node:http2";
import { httpDateNow, type HeaderFields, type ResponseHeader } from "@sluice/http";
import { CONTENT_LENGTH, DATE, TE } from "../http1/known-fields.ts";
import { appendFields, fieldBlock, goesByHttp2 } from "./fields.ts";
import { respondNatively } from "./native-respond.ts";

/** What Node's `respond` is given; one object for all responses of a kind. Date is ours to add. */
export const RESPOND_OPEN: ServerStreamResponseOptions = { sendDate: false } as ServerStreamResponseOptions;
export const RESPOND_END: ServerStreamResponseOptions = {
  sendDate: false,
  endStream: true,
} as ServerStreamResponseOptions;
/** Node asks for trailers at the end, which takes a turn of the event loop and a frame of their own. */
export const RESPOND_TRAILERS: ServerStreamResponseOptions = {
  sendDate: false,
  waitForTrailers: true,
} as ServerStreamResponseOptions;

let sawDate = false;

/**
 * A final response head as Node takes it: `:status`, then the fields but for those that speak of one connection only. Date is
 * added where there is none (RFC 9110, section 6.6.1); the reason phrase does not exist in HTTP/2 (RFC 9113, section 8.3.2).
 */
export function responseList(header: ResponseHeader): string[] {
  const list = [":status", String(header.status)];
  sawDate = false;
  appendFields(list, header, goesDown);
  if (!sawDate) list.push("date", httpDateNow());
  return list;
}

/** The head that opens a tunnel: 200, whatever HTTP/1 calls it (RFC 8441, section 5), without what HTTP/1 needs to agree on it. */
export function tunnelList(header: ResponseHeader): string[] {
  const list = [":status", header.status === 101 ? "200" : String(header.status)];
  header.remove("sec-websocket-accept");
  sawDate = false;
  appendFields(list, header, (tag, value) => tag !== CONTENT_LENGTH && goesDown(tag, value));
  return list;
}

/** Whether Node takes lists here, which keep the order and cost less. (Versions before 24.7 take objects alone.) */
let takesLists = true;

/** Hands a head to Node. */
export function respond(
  stream: Pick<ServerHttp2Stream, "respond">,
  list: string[],
  options: ServerStreamResponseOptions,
): void {
  if (respondNatively(stream as ServerHttp2Stream, fieldBlock(list), list.length / 2, options)) return;
  if (takesLists) {
    try {
      stream.respond(list, options);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ERR_INVALID_ARG_TYPE") throw error;
      takesLists = false;
    }
  }
  stream.respond(objectOf(list), options);
}

/** Whether trailers may follow the body, although its length is known. */
export function announcesTrailers(header: HeaderFields): boolean {
  return header.has("trailer");
}

function goesDown(tag: number, value: string): boolean {
  if (tag === DATE) sawDate = true;
  // TE is a request's.
  return tag !== TE && goesByHttp2(tag, value);
}

function objectOf(list: readonly string[]): OutgoingHttpHeaders {
  const object: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let at = 0; at < list.length; at += 2) {
    const name = list[at]!.toLowerCase();
    const before = object[name];
    const value = list[at + 1]!;
    if (before === undefined) object[name] = value;
    else if (typeof before === "string") object[name] = [before, value];
    else before.push(value);
  }
  return object;
}
