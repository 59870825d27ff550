import { errorStatus, ProxyError } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { patternBytes } from "../support/message.ts";
import { OK, refusedAddress } from "../support/origin.ts";
import { get } from "../support/proxy.ts";
import { settled } from "../support/settled.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, expectLast, closing, answering, startOrigin, startProxy, peerOf }) => {
  type ErrorType = ProxyError["type"];

  describe("errorStatus", () => {
    test.each<[number, ErrorType, ProxyError["source"], number?]>([
      [418, "HTTPStatus", "unset", 418],
      [418, "HTTPStatus", "internal", 418],
      [418, "HTTPStatus", "upstream", 418],
      [418, "HTTPStatus", "downstream", 418],
      [503, "NoPeer", "internal"],
      [503, "NoPeer", "unset"],
      [504, "ConnectTimedout", "upstream"],
      [504, "TLSHandshakeTimedout", "upstream"],
      [504, "ReadTimedout", "upstream"],
      [504, "WriteTimedout", "upstream"],
      [502, "ConnectRefused", "upstream"],
      [502, "ConnectNoRoute", "upstream"],
      [502, "ConnectionClosed", "upstream"],
      [502, "InvalidHTTPHeader", "upstream"],
      [0, "WriteError", "downstream"],
      [0, "ReadError", "downstream"],
      [0, "ConnectionClosed", "downstream"],
      [0, "WriteTimedout", "downstream"],
      [408, "ReadTimedout", "downstream", 408],
      [431, "InvalidHTTPHeader", "downstream", 431],
      [400, "InvalidHTTPHeader", "downstream"],
      [400, "InvalidChunk", "downstream"],
      [500, "BindError", "internal"],
      [500, "InternalError", "unset"],
      [500, "ReadTimedout", "internal"],
    ])("%d for %s, source %s", (expected, type, source, status) => {
      expect(errorStatus(new ProxyError(type, { source, ...(status !== undefined && { status }) }))).toBe(expected);
    });

    test("an origin's malformed head is 502, whatever status the parser has for requests", () => {
      expect(errorStatus(new ProxyError("InvalidHTTPHeader", { source: "upstream", status: 431 }))).toBe(502);
    });
  });

  describe("a request that cannot be read", () => {
    test("whose body stops coming is answered with 408", async () => {
      await using origin = await startOrigin((connection) => connection.whenEnded());
      await using proxy = await startProxy({ origin }, { http1: { bodyMs: 80 } });
      const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc");
      expect((await client.message()).status).toBe(408);
      await origin.connections[0]!.whenEnded();
    });
  });

  test("a body that waits for a slow hook is not the client's delay", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy(
      { origin, requestFilter: () => new Promise((resolve) => setTimeout(resolve, 200)) },
      { http1: { bodyMs: 60 } },
    );
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
    expect((await client.message()).status).toBe(200);
  });

  test("CONNECT is answered with 405 and closed; nothing is forwarded", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin });
    const client = await proxy.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
    const answer = await client.message();
    expect([answer.status, answer.field("allow")]).toEqual([405, ""]);
    await expectLast(client, answer);
    expect(origin.connections).toHaveLength(0);
    expect((await proxy.whenFinished()).error?.status).toBe(405);
    expect(proxy.errors).toHaveLength(1);
  });

  test("failToProxy may answer by itself", async () => {
    await using proxy = await startProxy({
      failToProxy(session, error) {
        session.respondError(503, { fields: { "Retry-After": 7 }, body: `sorry: ${error.type}` });
        return 503;
      },
      suppressErrorLog: () => true,
    });
    const client = await proxy.send(get());
    const answer = await client.message();
    expect([answer.status, answer.field("retry-after"), answer.body.toString()]).toEqual([
      503,
      "7",
      "sorry: InternalError",
    ]);
    await proxy.whenFinished();
    expect(proxy.logs).toEqual([]);
  });

  describe("an upstream that answers badly", () => {
    test.each<[string, string]>([
      ["before its head", ""],
      ["in its head", "HTTP/1.1 200 OK\r\nContent-"],
      ["after a 103", "HTTP/1.1 103 Early Hints\r\n\r\n"],
    ])("by closing %s is answered for with 502", async (_where, response) => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(response).end();
      });
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      let answer = await client.message();
      if (answer.status === 103) answer = await client.message();
      expect(answer.status).toBe(502);
      expect((await proxy.whenFinished()).error).toMatchObject({ type: "ConnectionClosed", source: "upstream" });
    });

    const BODY = "x".repeat(6000);
    test.each<[string, string]>([
      ["Content-Length", `HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n${BODY}`],
      ["chunked, between chunks", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1770\r\n${BODY}\r\n`],
      ["chunked, in a chunk", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1b58\r\n${BODY}`],
      ["chunked, in the last chunk", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1770\r\n${BODY}\r\n0\r\n`],
    ])("by closing in its body has the response cut (%s)", async (_framing, response) => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(response).end();
      });
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      const received = (await client.rest()).toString();
      expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(received).toContain(BODY);
      expect(received).not.toContain("0\r\n\r\n");
      expect((await proxy.whenFinished()).error).toMatchObject({ type: "ConnectionClosed", source: "upstream" });
    });

    test("by a reset in a body that lasts until the connection ends has the response cut", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send("HTTP/1.1 200 OK\r\n\r\nsome");
      });
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await client.upTo("some");
      origin.connections[0]!.reset();
      expect((await client.rest()).toString()).not.toContain("0\r\n\r\n");
      expect((await proxy.whenFinished()).error).toMatchObject({ type: "ReadError", source: "upstream" });
    });
  });

  describe("an upstream that is too slow", () => {
    test("with its head is answered for with 504 after readMs", async () => {
      await using origin = await startOrigin((connection) => connection.whenEnded());
      await using proxy = await startProxy({ origin: peerOf(origin.address, { readMs: 80 }) });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(504);
      expect((await proxy.whenFinished()).error).toMatchObject({ type: "ReadTimedout", source: "upstream" });
      expect(proxy.errors).toMatchObject([{ hint: expect.stringContaining("readMs") }]);
      await origin.connections[0]!.whenEnded();
    });

    test("with its body has the response cut after readMs", async () => {
      await using origin = await answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
      await using proxy = await startProxy({ origin: peerOf(origin.address, { readMs: 80 }) });
      const client = await proxy.send(get());
      // What HTTP/2 has not delivered yet is lost with the stream.
      expect((await client.rest()).toString()).toMatch(leg.downstream === 1 ? /\r\n\r\nabc$/ : /\r\n\r\n(abc)?$|^$/);
      expect((await proxy.whenFinished()).error?.type).toBe("ReadTimedout");
    });

    test("in taking the request is answered for with 504 after writeMs", async () => {
      await using origin = await startOrigin(async (connection) => void connection.pause());
      await using proxy = await startProxy({ origin: peerOf(origin.address, { writeMs: 150 }) });
      const body = patternBytes(32_000_000);
      const client = await proxy.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      expect((await client.message()).status).toBe(504);
      expect((await proxy.whenFinished()).error).toMatchObject({ type: "WriteTimedout", source: "upstream" });
    });

    test("is not blamed while the client is still sending", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin: peerOf(origin.address, { readMs: 500 }) });
      const client = await proxy.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\na");
      await settled(() => 0, 200);
      client.send("b");
      expect((await client.message()).status).toBe(200);
    });

    test("is not blamed while a hook or the client takes its time", async () => {
      const body = patternBytes(16_000_000);
      await using origin = await answering(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      await using proxy = await startProxy({
        // Longer than a busy machine keeps this origin, which is one of this process, from its work.
        origin: peerOf(origin.address, { readMs: 1000 }),
        responseFilter: () => new Promise((resolve) => setTimeout(resolve, 1300)),
      });
      const client = (await proxy.send(get())).pause();
      await settled(() => proxy.finished.length, 1300);
      client.resume();
      expect((await client.message()).body.equals(body)).toBe(true);
    });
  });

  describe("an upload that breaks", () => {
    test("because there is no upstream leaves the answer readable for a client that sends first and reads later", async () => {
      await using proxy = await startProxy({ origin: { address: await refusedAddress() } });
      const client = (await proxy.connect()).pause();
      client.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 20000000\r\n\r\n");
      const body = patternBytes(20_000_000);
      // By HTTP/2 nobody takes the rest of it.
      if (leg.downstream === 1) await client.sent(body);
      else client.send(body);
      client.resume();
      const answer = await client.message();
      expect(answer.status).toBe(502);
      await expectLast(client, answer);
      expect(client.error).toBeUndefined();
    });

    test("because its filter throws in the middle is never complete for the origin", async () => {
      await using origin = await startOrigin(async () => undefined);
      let pieces = 0;
      await using proxy = await startProxy({
        origin,
        requestBodyFilter() {
          if (++pieces === 2) throw ProxyError.httpStatus(422, "no");
        },
      });
      const client = await proxy.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
      const connection = await origin.connection();
      await connection.upTo("abc");
      client.send("3\r\ndef\r\n0\r\n\r\n");
      expect((await client.message()).status).toBe(422);
      expect((await connection.rest()).toString()).not.toMatch(/def|0\r\n\r\n/);
    });

    test("leaves an early answer of the origin its way to the client", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\n");
        connection.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big");
        await connection.whenEnded();
        connection.close();
      });
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 90000000\r\n\r\n",
        patternBytes(200_000),
      );
      const answer = await client.message();
      expect([answer.status, answer.field("connection"), answer.body.toString()]).toEqual([413, closing, "too big"]);
      client.send(patternBytes(100_000));
      if (leg.downstream === 1) await client.whenEnded();
      expect((await proxy.whenFinished()).error).toBeUndefined();
      // The stream is reset; a connection of HTTP/2 outlives it.
      expect(proxy.pool.idleCount).toBe(leg.upstream - 1);
    });

    test("because the origin closed at once is answered, never left hanging", async () => {
      // A reset may overtake the early answer; then the best that can be said is 502.
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\n");
        await connection.sent(
          "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big",
        );
        connection.close();
      });
      await using proxy = await startProxy({ origin });
      for (let round = 0; round < 20; round++) {
        const client = await proxy.connect();
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 90000000\r\n\r\n", patternBytes(1_000_000));
        expect([413, 502]).toContain((await client.message()).status);
        client.close();
      }
    });
  });
});
