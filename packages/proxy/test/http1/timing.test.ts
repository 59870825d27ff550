import { type Session, type Timing } from "@sluice/proxy";
import { expect, test } from "vitest";
import { Origin } from "../support/origin.ts";
import { get, startProxy } from "../support/proxy.ts";

/** What happens to a request that succeeds, in order. */
const ORDER = [
  "acceptedAtMs",
  "headReadAtMs",
  "peerChosenAtMs",
  "connectedAtMs",
  "requestHeadSentAtMs",
  "requestSentAtMs",
  "responseHeadAtMs",
  "responseEndAtMs",
  "endedAtMs",
] as const satisfies readonly (keyof Timing)[];

function expectInOrder(timing: Timing, names: readonly (keyof Timing)[] = ORDER): void {
  const times = names.map((name) => timing[name]);
  expect(times.every((time) => typeof time === "number" && time > 0)).toBe(true);
  expect(times).toEqual((times as number[]).toSorted((a, b) => a - b));
}

test("a change of protocol ends the request when the tunnel ends, which is later than its body's end", async () => {
  await using origin = await Origin.start(async (connection) => {
    await connection.upTo("\r\n\r\n");
    connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello");
  });
  let during: Session | undefined;
  await using proxy = await startProxy({ origin, requestFilter: (session) => void (during = session) });
  const client = await proxy.send(get("/", "Connection: upgrade\r\nUpgrade: x\r\n"));
  await client.upTo("hello");
  const open = during!.timing;
  expect([open.responseEndAtMs, open.endedAtMs]).toEqual([undefined, undefined]);
  (await origin.connection()).end();
  await client.whenEnded();
  client.end();
  const { timing } = (await proxy.whenFinished()).session;
  expectInOrder(timing);
  expect(timing.requestSentAtMs).toBe(open.requestSentAtMs);
});
