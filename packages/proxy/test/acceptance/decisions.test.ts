import { HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { blackhole } from "../support/blackhole.ts";
import { chunked } from "../support/message.ts";
import { answering, OK, Origin } from "../support/origin.ts";
import { gate, get, startProxy, type TestApp, type TestProxy } from "../support/proxy.ts";
import { ReferenceOrigin } from "../support/reference-origin.ts";
import { startTriggerProxy } from "../support/trigger-app.ts";
import type { Wire } from "../support/wire.ts";

// What was decided where Pingora surprises; see docs/decisions/0004-departures-from-pingora.md.

describe("the framing of a response", () => {
  const LENGTH = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world";
  const CHUNKED = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(Buffer.from("hello world")).toString()}`;

  /** What the head filters were shown, and what went down when the last of them had `edit`ed it. */
  async function framed(
    response: string,
    edit: ProxyHttp<object>["responseFilter"],
    request = get(),
  ): Promise<{ shown: (string | undefined)[]; sent: (string | undefined)[] }> {
    const shown: (string | undefined)[] = [];
    await using origin = await answering(response);
    await using proxy = await startProxy({
      origin,
      responseFilter(session, header, ctx) {
        shown.push(header.get("content-length"), header.get("transfer-encoding"));
        return edit?.(session, header, ctx);
      },
    });
    const client = await proxy.send(request);
    const { field, body } = await client.message();
    expect(body.toString()).toBe("hello world");
    return { shown, sent: [field("content-length"), field("transfer-encoding"), field("connection")] };
  }

  test.each([
    ["Content-Length", LENGTH, ["11", undefined, undefined]],
    ["chunks", CHUNKED, [undefined, "chunked", undefined]],
  ])("is that of the origin if no filter changes it: by %s", async (_what, response, sent) => {
    expect((await framed(response, undefined)).sent).toEqual(sent);
  });

  test("is chosen after the filters: none of them sees a coding, and a length taken away makes it chunks", async () => {
    expect(await framed(LENGTH, (_session, header) => void header.remove("content-length"))).toEqual({
      shown: ["11", undefined],
      sent: [undefined, "chunked", undefined],
    });
  });

  test("is the end of the connection for a client of HTTP/1.0, when a filter took the length away", async () => {
    const request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    const { sent } = await framed(LENGTH, (_session, header) => void header.remove("content-length"), request);
    expect(sent).toEqual([undefined, undefined, "close"]);
  });

  test("is the length that a filter gave to a response that came by chunks", async () => {
    expect(await framed(CHUNKED, (_session, header) => void header.set("Content-Length", "11"))).toEqual({
      shown: [undefined, undefined],
      sent: ["11", undefined, undefined],
    });
  });

  test.each([
    ["Transfer-Encoding", "chunked"],
    ["Transfer-Encoding", "gzip"],
    ["Connection", "close"],
    ["Keep-Alive", "timeout=1"],
  ])("is not up to a filter that says %s: %s", async (name, value) => {
    const { sent } = await framed(LENGTH, (_session, header) => void header.set(name, value));
    expect(sent).toEqual(["11", undefined, undefined]);
  });
});

describe("what speaks of one connection only", () => {
  test("is removed both ways, with what Connection names (Pingora: passed on)", async () => {
    await using origin = await Origin.start(async (connection) => {
      for (;;) {
        const { fields } = await connection.message();
        const names = fields.map(([name]) => name.toLowerCase()).join(" ");
        connection.send(
          `HTTP/1.1 200 OK\r\nX-Got: ${names}\r\nConnection: x-own, keep-alive\r\nKeep-Alive: timeout=9\r\nX-Own: 1\r\nContent-Length: 0\r\n\r\n`,
        );
      }
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(
      get(
        "/",
        "Connection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX-Mine: 1\r\n",
      ),
    );
    const answer = await client.message();
    expect(answer.field("x-got")).toBe("host via");
    expect(answer.fields.map(([name]) => name.toLowerCase())).toEqual(["x-got", "content-length", "date"]);
  });

  test("ends one connection only: a client that closes its own leaves the origin's for others", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const reused: (string | undefined)[] = [];
    for (let round = 0; round < 3; round++) {
      const client = await proxy.send(get("/", "Connection: close\r\n"));
      const { field } = await client.message();
      reused.push(field("x-conn-reuse"));
      expect(field("connection")).toBe("close");
      await client.whenEnded();
    }
    expect(reused).toEqual([undefined, "1", "1"]);
  });

  test("ends one connection only: an origin that closes its own leaves the client's for the next request", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(get("/noreuse"));
      const { field, body } = await client.message();
      expect([field("connection"), field("x-conn-reuse"), body.toString()]).toEqual([
        undefined,
        undefined,
        "hello world",
      ]);
    }
  });
});

test.each([1, 2, 3])(
  "maxRequests %i serves so many on a connection, and the last says close (Pingora: one more)",
  async (maxRequests) => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin, { http1: { maxRequests } });
    const client = await proxy.send(get("/test2").repeat(maxRequests + 1));
    const options: (string | undefined)[] = [];
    for (let request = 0; request < maxRequests; request++) options.push((await client.message()).field("connection"));
    expect(options).toEqual([...Array<undefined>(maxRequests - 1).fill(undefined), "close"]);
    expect((await client.rest()).length).toBe(0);
    expect(origin.seen).toHaveLength(maxRequests);
  },
);

test("the origin's Date is kept, and one is added only where there is none (Pingora: always its own)", async () => {
  const date = "Sun, 06 Nov 1994 08:49:37 GMT";
  await using origin = await Origin.start(async (connection) => {
    await connection.message();
    connection.send(`HTTP/1.1 200 OK\r\nDate: ${date}\r\nContent-Length: 0\r\n\r\n`);
    await connection.message();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  await using proxy = await startProxy({ origin });
  const client = await proxy.connect();
  client.send(get());
  expect((await client.message()).fields.filter(([name]) => name === "Date")).toEqual([["Date", date]]);
  client.send(get());
  const dates = (await client.message()).fields.filter(([name]) => name === "Date");
  expect(dates).toHaveLength(1);
  expect(dates[0]![1]).toMatch(/^\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT$/);
});

describe("a client that leaves is noticed at once (Pingora: when something is written to it or read from it)", () => {
  const HOOKS = [
    "earlyRequestFilter",
    "requestFilter",
    "upstreamPeer",
    "connectedToUpstream",
    "upstreamRequestFilter",
    "requestBodyFilter",
    "upstreamResponseFilter",
    "responseFilter",
  ] as const;
  const LEAVES: [string, (client: Wire) => unknown][] = [
    ["closes", (client) => client.close()],
    ["resets", (client) => client.reset()],
    ["ends its direction", (client) => client.end()],
  ];

  describe.each(LEAVES)("and %s", (_how, leave) => {
    test.each(HOOKS)("while %s is waited for, which need not end", async (hook) => {
      const inside = gate();
      const hangs = (): Promise<never> => {
        inside.open();
        return new Promise(() => undefined);
      };
      await using origin = await answering(OK);
      const app: TestApp<object> = { origin, [hook]: hangs };
      await using proxy = await startProxy(app);
      const client = await proxy.send(get());
      await inside.opened;
      leave(client);
      await expectLeft(proxy, client, hook);
      // Nothing waits any more for what it has asked for.
      for (const connection of origin.connections) await connection.whenEnded();
    });

    test("while the upstream is connected to, and the attempt is given up", async () => {
      await using hole = await blackhole();
      const { opened, open } = gate();
      await using proxy = await startProxy({
        upstreamPeer() {
          open();
          return new HttpPeer(hole.address, { connectMs: 0 });
        },
      });
      const client = await proxy.send(get());
      await opened;
      leave(client);
      await expectLeft(proxy, client, "connect");
    });
  });

  async function expectLeft(proxy: TestProxy<object>, client: Wire, phase: string): Promise<void> {
    const { error, session } = await proxy.whenFinished();
    expect([error?.source, session.response]).toEqual(["downstream", undefined]);
    expect(proxy.errors).toMatchObject([{ phase }]);
    expect((await client.rest()).length).toBe(0);
  }
});
