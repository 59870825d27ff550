import { setImmediate as turn } from "node:timers/promises";
import { expect } from "vitest";
import { PLAIN, type Leg } from "../../../../test/matrix/legs.ts";
import { chunked, type Message } from "./message.ts";
import { OK, Origin } from "./origin.ts";
import { get, type TestProxy } from "./proxy.ts";
import type { Wire } from "./wire.ts";

/** How a body tells its length. */
export const FRAMINGS = ["content-length", "chunked"] as const;

/** A POST with this body, framed like that. */
export function post(body: Uint8Array, framing: (typeof FRAMINGS)[number] = "content-length", fields = ""): Buffer {
  const [field, payload] =
    framing === "chunked" ? ["Transfer-Encoding: chunked", chunked(body)] : [`Content-Length: ${body.length}`, body];
  return Buffer.concat([Buffer.from(`POST / HTTP/1.1\r\nHost: test\r\n${fields}${field}\r\n\r\n`), payload]);
}

/** An origin that keeps what it got, for each of its connections, and answers with 200. */
export async function recordingOrigin(leg: Leg = PLAIN): Promise<{ origin: Origin; seen: Message[][] }> {
  const seen: Message[][] = [];
  const origin = await Origin.start(async (connection) => {
    const own: Message[] = [];
    seen.push(own);
    for (;;) {
      own.push(await connection.message());
      connection.send(OK);
    }
  }, leg);
  return { origin, seen };
}

/** The same, but its first connection is dropped once the second request has come whole. */
export async function droppingOrigin(leg: Leg = PLAIN): Promise<{ origin: Origin; seen: Message[][] }> {
  const seen: Message[][] = [];
  const origin = await Origin.start(async (connection) => {
    const own: Message[] = [];
    seen.push(own);
    for (;;) {
      own.push(await connection.message());
      if (connection.index === 0 && own.length === 2) break;
      connection.send(OK);
    }
    connection.close();
  }, leg);
  return { origin, seen };
}

/** A client for whom one request has been served, so that the next goes on a reused connection. */
export async function warm(proxy: TestProxy<object>): Promise<Wire> {
  const client = await proxy.send(get("/warm"));
  await client.message();
  await proxy.whenFinished();
  expect(proxy.pool.idleCount).toBe(1);
  return client;
}

/** What `action` was rejected with; `undefined` if it was not. */
export async function rejection(action: Promise<unknown>): Promise<unknown> {
  return action.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Lets the event loop turn until it is so: for what has no event. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
