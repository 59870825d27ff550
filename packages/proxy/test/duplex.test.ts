import { setImmediate } from "node:timers/promises";
import { ProxyError } from "@sluice/proxy";
import { expect, test } from "vitest";
import { MemoryProxy } from "./support/memory-proxy.ts";
import { answering, OK, Origin } from "./support/origin.ts";
import { gate, get, startProxy } from "./support/proxy.ts";

const ASK = "POST / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n";
const CHANGED = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

test("interim heads behind slow filters stop at a client that takes nothing, and all arrive when it does", async () => {
  const interim = `HTTP/1.1 103 Early Hints\r\nLink: <${"a".repeat(20_000)}>\r\n\r\n`.repeat(90);
  const bytes = interim + OK;
  const proxy = new MemoryProxy({ answers: new Map([["/", { bytes }]]), slowHooks: true });
  const client = proxy.connect();
  client.pair.remote.pause();
  client.send(get());
  await proxy.settle();
  const taken = proxy.origins[0]!.takenBytes;
  expect(taken).toBeLessThan(bytes.length / 2);
  client.pair.remote.resume();
  await proxy.settle();
  expect(client.text.split("103 Early Hints")).toHaveLength(91);
  expect(client.text).toMatch(/HTTP\/1.1 200 OK\r\n.*\r\n\r\nok$/s);
  expect(proxy.violations).toEqual([]);
});

test.each(["first", "last"])(
  "a 101 in the middle of the body, whose origin ends %s: the body ends, then raw bytes pass",
  async (ends) => {
    const { promise: received, resolve } = Promise.withResolvers<string>();
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\nab");
      connection.send(CHANGED, "hello");
      if (ends === "first") connection.end();
      resolve((await connection.rest()).toString());
      connection.end();
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(`${ASK}Content-Length: 4\r\n\r\n`, "ab");
    await client.upTo("hello");
    client.send("cd", "raw bytes").end();
    expect(await received).toBe("cdraw bytes");
    expect((await proxy.whenFinished()).error).toBeUndefined();
  },
);

test("the head of a request without body waits for a slow requestBodyFilter, whatever else the client sends", async () => {
  await using origin = await answering(OK);
  const inside = gate();
  const filter = gate();
  await using proxy = await startProxy({
    origin,
    async requestBodyFilter(session) {
      if (session.request.target !== "/first") return;
      inside.open();
      await filter.opened;
      throw ProxyError.httpStatus(403);
    },
  });
  const client = await proxy.send(get("/first"));
  await inside.opened;
  client.send(get("/second"));
  const connection = await origin.connection();
  for (let turn = 0; turn < 20; turn++) await setImmediate();
  filter.open();
  expect((await client.message()).status).toBe(403);
  await connection.whenEnded();
  expect(connection.receivedBytes).toBe(0);
});

test.each([
  ["Content-Length: 3", "abc", "abc"],
  ["Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"],
])(
  "the end that came in one read with the piece whose filter failed goes up in the next attempt (%s)",
  async (field, body, sent) => {
    const bodies: string[] = [];
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      bodies.push(await connection.upTo(sent));
      connection.send(OK);
    });
    let ends = 0;
    await using proxy = await startProxy({
      origin,
      requestBodyFilter(session, piece, end) {
        if (end && session.request.method === "PUT") ends++;
        if (session.tries === 1 && piece !== undefined) throw new ProxyError("InternalError", { retry: true });
      },
    });
    const client = await proxy.send(`PUT / HTTP/1.1\r\nHost: test\r\n${field}\r\n\r\n${body}`, get());
    expect((await client.message()).status).toBe(200);
    expect([bodies, ends]).toEqual([[sent], 1]);
  },
);
