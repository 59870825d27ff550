import type { ProxyError } from "@sluice/error";
import { RequestHeader, ResponseHeader, type HeaderFieldsInit } from "@sluice/http";
import type { ConnectionDigest } from "../src/http/connection-digest.ts";
import type { SubrequestEvent } from "../src/subrequest/subrequest-event.ts";
import { SubrequestHandle, type SubrequestHandleOptions } from "../src/subrequest/subrequest-handle.ts";
import type { SubrequestBodyMode, SubrequestSession } from "../src/subrequest/subrequest-session.ts";
import { see, type SeenRequest } from "./harness.ts";

export const DIGEST: ConnectionDigest = {
  remoteAddress: "192.0.2.1:4000",
  localAddress: "192.0.2.2:80",
  establishedAtMs: 7,
  tls: undefined,
  descriptor: undefined,
};

export interface Subrequested {
  readonly handle: SubrequestHandle;
  readonly session: SubrequestSession;
  /** What the app saw; it reads from the start. */
  readonly seen: SeenRequest;
}

/** A subrequest whose app and whose client the test plays. */
export function subrequested(
  fields: HeaderFieldsInit = {},
  body: SubrequestBodyMode = "expect",
  method = "GET",
  options: SubrequestHandleOptions = {},
): Subrequested {
  const handle = new SubrequestHandle(options);
  const request = RequestHeader.build(method, "/path", { Host: "a.test" });
  request.appendAll(fields);
  const session = handle.begin(request, DIGEST, body);
  return { handle, session, seen: see(session) };
}

export function head(status: number, fields: HeaderFieldsInit = {}): ResponseHeader {
  return ResponseHeader.build(status, fields);
}

/** In one word: `100`, `200`, `"hello"`, `trailers`, `end`. */
export function word(event: SubrequestEvent | undefined): string {
  if (event === undefined) return "nothing";
  switch (event.type) {
    case "informational":
    case "header":
      return String(event.header.status);
    case "data":
      return JSON.stringify(Buffer.from(event.data).toString("latin1"));
    default:
      return event.type;
  }
}

/** All that comes until the end or the cut, which shows as `cut: ` and the type of the error. */
export async function allOf(handle: SubrequestHandle): Promise<string[]> {
  const words: string[] = [];
  try {
    for await (const event of handle) words.push(word(event));
  } catch (error) {
    words.push(`cut: ${(error as ProxyError).type}`);
  }
  return words;
}

/** What there is now. */
export async function taken(handle: SubrequestHandle): Promise<string[]> {
  const words: string[] = [];
  while (handle.waiting > 0) words.push(word(await handle.next()));
  return words;
}
