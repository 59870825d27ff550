import { describe, expect, test } from "vitest";
import { answering, OK, Origin } from "../support/origin.ts";
import { get, startProxy } from "../support/proxy.ts";

describe("a request that cannot be read", () => {
  const LONG = "x".repeat(70_000);
  test.each<[number, string, string]>([
    [400, "no HTTP", "hello\r\n\r\n"],
    [400, "no method", " / HTTP/1.1\r\nHost: test\r\n\r\n"],
    [400, "no Host", "GET / HTTP/1.1\r\n\r\n"],
    [400, "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
    [400, "LF alone", "GET / HTTP/1.1\nHost: test\n\n"],
    [400, "space before a colon", "GET / HTTP/1.1\r\nHost : test\r\n\r\n"],
    [400, "a folded line", "GET / HTTP/1.1\r\nHost: test\r\nX: 1\r\n 2\r\n\r\n"],
    [400, "a NUL in a value", "GET / HTTP/1.1\r\nHost: test\r\nX: \0\r\n\r\n"],
    [400, "two Content-Lengths", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    [400, "a negative Content-Length", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: -1\r\n\r\n"],
    [400, "a Content-Length list", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1, 1\r\n\r\na"],
    [400, "chunked not last", "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"],
    [400, "chunked in 1.0", "POST / HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    [400, "a target that is none", "GET nowhere HTTP/1.1\r\nHost: test\r\n\r\n"],
    [501, "an unknown coding", "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
    [505, "another version", "GET / HTTP/2.0\r\nHost: test\r\n\r\n"],
    [414, "a target without end", `GET /${LONG}`],
    [431, "a head without end", `GET / HTTP/1.1\r\nHost: test\r\nX: ${LONG}`],
    [431, "too many fields", `GET / HTTP/1.1\r\nHost: test\r\n${"X: 1\r\n".repeat(300)}\r\n`],
  ])("is answered with %d and closed, logged, and not forwarded: %s", async (status, _what, request) => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(request);
    const answer = await client.message();
    expect([answer.status, answer.field("connection"), answer.field("content-length")]).toEqual([status, "close", "0"]);
    expect((await client.rest()).length).toBe(0);
    expect((await proxy.whenFinished()).error?.source).toBe("downstream");
    expect(proxy.errors).toMatchObject([{ phase: "readRequest", status }]);
    expect(origin.connections).toHaveLength(0);
  });

  test("after a good one on the same connection", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(`${get()}garbage\r\n\r\n`);
    expect([(await client.message()).status, (await client.message()).status]).toEqual([200, 400]);
    await client.whenEnded();
  });

  test("that comes too slowly is answered with 408", async () => {
    await using proxy = await startProxy({}, { http1: { headMs: 60 } });
    const client = await proxy.send("GET / HTTP/1.1\r\nHo");
    expect((await client.message()).status).toBe(408);
    expect((await proxy.whenFinished()).error?.type).toBe("ReadTimedout");
  });

  test("whose chunks are broken is answered with 400, and the upstream request is given up", async () => {
    await using origin = await Origin.start((connection) => connection.whenEnded());
    await using proxy = await startProxy({ origin });
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await (await origin.connection()).upTo("abc");
    client.send("nonsense\r\n");
    expect((await client.message()).status).toBe(400);
    await origin.connections[0]!.whenEnded();
    expect(origin.connections[0]!.peek()).not.toContain("0\r\n\r\n");
  });
});

describe("an upstream that answers badly", () => {
  test.each<[string, string]>([
    ["garbage", "SSH-2.0-OpenSSH_9.2p1\r\n"],
    ["another version", "HTTP/2.0 200 OK\r\n\r\n"],
    ["no status", "HTTP/1.1 OK\r\n\r\n"],
    ["two Content-Lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    ["a Content-Length that is none", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"],
    ["an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"],
    ["a NUL in a value", "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"],
    ["a head without end", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}`],
    ["a 101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
  ])("is answered for with 502: %s", async (_what, response) => {
    await using origin = await answering(response);
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(502);
    expect((await proxy.whenFinished()).error).toMatchObject({ type: "InvalidHTTPHeader", source: "upstream" });
    expect(proxy.errors).toMatchObject([
      { peer: origin.address, status: 502, hint: expect.stringMatching(/HTTP\/1|headLimits/) as string },
    ]);
    await origin.connections[0]!.whenEnded();
    expect(origin.connections).toHaveLength(1);
  });

  test("by broken chunks has the response cut", async () => {
    await using origin = await answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n");
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get());
    expect((await client.rest()).toString()).not.toContain("0\r\n\r\n");
    expect((await proxy.whenFinished()).error).toMatchObject({ type: "InvalidChunk", source: "upstream" });
  });
});
