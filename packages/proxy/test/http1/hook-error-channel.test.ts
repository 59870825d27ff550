import { EventLog } from "@sluice/core/testing";
import { proxyChannels } from "@sluice/proxy";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { answering, OK } from "../support/origin.ts";
import { startProxy, type TestApp, type TestProxy } from "../support/proxy.ts";

const boom = new Error("boom");
const CHUNKED = "Transfer-Encoding: chunked\r\n";
const POST = `POST / HTTP/1.1\r\nHost: test\r\n${CHUNKED}\r\n2\r\nhi\r\n0\r\nX-End: 1\r\n\r\n`;

let log: EventLog;

beforeEach(() => {
  log = new EventLog(proxyChannels.hookError, proxyChannels.requestEnd);
});

afterEach(() => log[Symbol.dispose]());

/** Sends a request with body and trailers, twice on one connection if it stays open, and waits for the end. */
async function run(app: TestApp<object>, times = 1): Promise<TestProxy<object>> {
  await using proxy = await startProxy(app);
  const client = await proxy.connect();
  for (let count = 1; count <= times; count++) {
    client.send(POST);
    await client.message().catch(() => undefined);
    await log.next("request-end", count);
  }
  return proxy;
}

describe("what a hook throws is told once, with the name of the hook", () => {
  test("onConnectionReuse", async () => {
    await using origin = await answering(OK);
    await run(
      {
        origin,
        persistConnectionContext: () => 1,
        onConnectionReuse() {
          throw boom;
        },
      },
      2,
    );
    expect(log.messages("hook-error")).toMatchObject([{ phase: "onConnectionReuse", thrown: boom }]);
  });
});
