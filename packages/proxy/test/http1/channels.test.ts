import { EventLog } from "@sluice/core/testing";
import { proxyChannels } from "@sluice/proxy";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Origin } from "../support/origin.ts";
import { get, startProxy } from "../support/proxy.ts";

let log: EventLog;

beforeEach(() => {
  log = new EventLog(...Object.values(proxyChannels));
});

afterEach(() => log[Symbol.dispose]());

describe("the order of what is told", () => {
  test("of a request that cannot be read", async () => {
    await using proxy = await startProxy({});
    const client = await proxy.send("GET /\r\n\r\n");
    await client.message();
    await log.next("request-end");
    expect(log.names).toEqual(["request-start", "request-end"]);
    expect(log.messages("request-end")).toMatchObject([{ error: { source: "downstream" }, outcome: { status: 400 } }]);
  });

  test("of a request that changes the protocol: it ends when the tunnel does", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello");
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get("/", "Connection: upgrade\r\nUpgrade: x\r\n"));
    await client.upTo("hello");
    expect(log.names).toEqual(["request-start", "request-attempt", "request-response"]);
    client.end();
    (await origin.connection()).end();
    await log.next("request-end");
    expect(log.messages("request-response")).toMatchObject([{ response: { status: 101 } }]);
    expect(log.messages("request-end")).toMatchObject([{ error: undefined, outcome: { status: 101, sent: 5 } }]);
  });
});
