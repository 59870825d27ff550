import type { Message } from "../../packages/proxy/test/support/message.ts";
import type { Http2EndStream } from "./http2-end.ts";
import type { Fields } from "./plan.ts";

/** What came whole on a stream. @param fail Told what no message may be. */
export function messageOf(stream: Http2EndStream, fail: (what: string) => void): Message {
  const all = stream.fields ?? [];
  const fields = all.filter(([name]) => !name.startsWith(":"));
  const field = (name: string): string | undefined => {
    const values = fields.filter(([own]) => own === name).map(([, value]) => value);
    return values.length === 0 ? undefined : values.join(", ");
  };
  const { body, trailers } = stream;
  const status = Number(pseudo(all, ":status") ?? Number.NaN);
  const length = field("content-length");
  if (length !== undefined && body.length > 0 && Number(length) !== body.length)
    fail(`${body.length} bytes where Content-Length says ${length}`);
  if (all.some(([name]) => name !== name.toLowerCase())) fail("names of fields with capitals");
  return { startLine: "", fields, field, body, trailers, chunks: [], status };
}

export function pseudo(fields: Fields, name: string): string | undefined {
  return fields.find(([own]) => own === name)?.[1];
}

/** As HTTP/2 spells them. */
export function lowerCased(fields: Fields): Fields {
  return fields.map(([name, value]) => [name.toLowerCase(), value]);
}
