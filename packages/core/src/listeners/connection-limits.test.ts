import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ServerSession } from "../http/server-session.ts";
import { tcpClient } from "../../test/net-harness.ts";
import { connectionChannels, observe, type ConnectionRejectedMessage } from "../diagnostics.ts";
import { configureLogs } from "../log/logger.ts";
import { SocketAddress } from "../net/socket-address.ts";
import { HttpService } from "../services/http-service.ts";
import { ResponseHeader } from "@sluice/http";
import { clientKey, ConnectionLimits } from "./connection-limits.ts";
import type { ListenOptions } from "./listen-options.ts";

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  configureLogs({ levels: "warn", destination: { write: (line) => void lines.push(line) } });
});
afterEach(() => configureLogs());

const LISTENER = SocketAddress.parse("127.0.0.1:80");
const client = (host: string): SocketAddress => SocketAddress.ip(host, 1);

/** The place; an error when it is refused. */
function admit(limits: ConnectionLimits, from: SocketAddress | undefined): () => void {
  const place = limits.admit(from);
  if (typeof place === "string") throw new Error(place);
  return place;
}

describe("counting", () => {
  test("as many as a listener may have, whoever they are; a place given back is free, once", () => {
    const limits = new ConnectionLimits(LISTENER, 2, Infinity);
    const first = admit(limits, client("10.0.0.1"));
    admit(limits, undefined);
    expect(limits.admit(client("10.0.0.2"))).toBe("listener-limit");
    first();
    first();
    expect(limits.open).toBe(1);
    admit(limits, client("10.0.0.2"));
    expect(limits.admit(undefined)).toBe("listener-limit");
  });

  test("as many as a client may have; others are not concerned, nor are those without an address", () => {
    const limits = new ConnectionLimits(LISTENER, Infinity, 1);
    const place = admit(limits, client("10.0.0.1"));
    expect(limits.admit(client("10.0.0.1"))).toBe("client-limit");
    admit(limits, client("10.0.0.2"));
    admit(limits, undefined);
    admit(limits, undefined);
    place();
    admit(limits, client("10.0.0.1"));
  });

  test("a limit that holds is told once in a while, with how many it kept out", () => {
    const limits = new ConnectionLimits(LISTENER, 1, Infinity);
    admit(limits, undefined);
    for (let i = 0; i < 5; i++) limits.admit(client("10.0.0.1"));
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      {
        msg: "too many connections; refused",
        limit: "listener-limit",
        maxConnections: 1,
        listener: "127.0.0.1:80",
        client: "10.0.0.1:1",
      },
    ]);
  });
});

test("a client that has too many is told with the limit for one", () => {
  const limits = new ConnectionLimits(LISTENER, Infinity, 2);
  for (let i = 0; i < 3; i++) limits.admit(client("10.0.0.1"));
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { limit: "client-limit", maxConnectionsPerClient: 2, client: "10.0.0.1:1" },
  ]);
});

test.each([
  ["10.1.2.3", "10.1.2.3"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:0db8:0001:0002::6", "2001:db8:1:2"],
  ["2001:db8::6", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
  ["64:ff9b::192.0.2.1", "64:ff9b:0:0"],
  ["2001:db8:1:2:3::", "2001:db8:1:2"],
])("the client %s counts as %s", (host, key) => {
  expect(clientKey(host)).toBe(key);
});

describe("a service", () => {
  const answer = {
    handleRequest: async (session: ServerSession) => {
      session.writeHeader(ResponseHeader.build(200, { "Content-Length": 0 }), true);
      session.finish();
    },
  };
  const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

  async function serving(options: ListenOptions): Promise<HttpService & AsyncDisposable> {
    const service = new HttpService("web", answer).listenTcp("127.0.0.1:0", options);
    await service.start();
    return Object.assign(service, { [Symbol.asyncDispose]: () => service.stop(AbortSignal.abort()) });
  }

  test.each(["maxConnections", "maxConnectionsPerClient"] as const)("%s closes what is too much", async (name) => {
    const rejected: ConnectionRejectedMessage[] = [];
    const unobserve = observe(connectionChannels.rejected, (message) => rejected.push(message));
    await using service = await serving({ [name]: 1 });
    {
      using first = await tcpClient(service.addresses[0]!);
      first.socket.write(GET);
      await first.until((text) => text.includes("200 OK"));
      using second = await tcpClient(service.addresses[0]!);
      await second.ended;
      expect(second.text()).toBe("");
      expect(service.refusedCount).toBe(1);
      expect(rejected.map(({ reason }) => reason)).toEqual([
        name === "maxConnections" ? "listener-limit" : "client-limit",
      ]);
    }
    unobserve();
    // The first is gone; as soon as that is seen here, there is room.
    await expect.poll(() => service.connectionCount).toBe(0);
    using third = await tcpClient(service.addresses[0]!);
    third.socket.write(GET);
    await third.until((text) => text.includes("200 OK"));
  });

  test("those whom a filter refuses give their place back", async () => {
    let yes = false;
    await using service = await serving({ maxConnections: 1, acceptFilter: async () => yes });
    using first = await tcpClient(service.addresses[0]!);
    await first.ended;
    yes = true;
    using second = await tcpClient(service.addresses[0]!);
    second.socket.write(GET);
    expect(await second.until((text) => text.includes("200 OK"))).toContain("200 OK");
  });
});
