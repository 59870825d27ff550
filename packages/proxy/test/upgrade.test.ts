import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { Origin } from "./support/origin.ts";
import { TestProxy } from "./support/proxy.ts";

const ASK = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo/1\r\n\r\n";
const CHANGED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\nX-A: b\r\n\r\n";

describe("a change of protocol", () => {
  test("passes what asks for it and what grants it, and then the bytes of both sides as they are", async () => {
    await using origin = await Origin.start(async (connection) => {
      const request = await connection.message({ toHead: true });
      expect([request.field("upgrade"), request.field("connection")]).toEqual(["echo/1", "upgrade"]);
      connection.send(CHANGED, "hello first");
      expect(await connection.bytes(6)).toEqual(Buffer.from("\r\n0\r\n\r"));
      connection.send("5\r\n").end();
    });
    await using proxy = await TestProxy.start({ origin });
    await using client = await proxy.connect();
    client.send(ASK);
    const head = await client.upTo("\r\n\r\n");
    expect(head).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    expect(head).toMatch(/\r\nConnection: upgrade\r\n/);
    expect(head).toMatch(/\r\nUpgrade: echo\/1\r\n/);
    expect(head).toMatch(/\r\nX-A: b\r\n/);
    expect(head).not.toMatch(/\r\n(Date|Transfer-Encoding|Content-Length):/);
    expect((await client.bytes(11)).toString()).toBe("hello first");
    client.send("\r\n0\r\n\r");
    expect((await client.rest()).toString()).toBe("5\r\n");
    client.end();
    const { error, session } = await proxy.whenFinished();
    expect([error, session.responseStatus, session.responseBodyBytes]).toEqual([undefined, 101, 14]);
    expect(origin.failures).toEqual([]);
  });

  test("delivers bytes that the client sent before it was granted", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      connection.send(CHANGED);
      const sent = await connection.upTo("!");
      connection.send(`got ${sent}`).end();
    });
    await using proxy = await TestProxy.start({ origin });
    await using client = await proxy.connect();
    client.send(ASK, "early!");
    await client.upTo("\r\n\r\n");
    expect((await client.rest()).toString()).toBe("got early!");
  });

  test("comes after the request body, which keeps its framing", async () => {
    await using origin = await Origin.start(async (connection) => {
      const request = await connection.message();
      connection.send(CHANGED, `body ${request.body.toString()},`);
      connection.send(await connection.upTo("!")).end();
    });
    await using proxy = await TestProxy.start({ origin });
    await using client = await proxy.connect();
    client.send(ASK.replace("GET", "POST").replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n"));
    client.send("3\r\nabc\r\n0\r\n\r\n", "raw!");
    await client.upTo("\r\n\r\n");
    expect((await client.rest()).toString()).toBe("body abc,raw!");
  });

  test("lets either side end alone: what the other still sends arrives", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      connection.send(CHANGED);
      const all = await connection.rest();
      connection.send(`${all.length} bytes`).end();
    });
    await using proxy = await TestProxy.start({ origin });
    await using client = await proxy.connect();
    client.send(ASK);
    await client.upTo("\r\n\r\n");
    client.send(Buffer.alloc(300_000)).end();
    expect((await client.rest()).toString()).toBe("300000 bytes");
    expect((await proxy.whenFinished()).error).toBeUndefined();
  });

  test("that the upstream ends first leaves the client its direction", async () => {
    const { promise: uploaded, resolve } = Promise.withResolvers<number>();
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      connection.send(CHANGED, "bye").end();
      resolve((await connection.rest()).length);
    });
    await using proxy = await TestProxy.start({ origin });
    await using client = await proxy.connect();
    client.send(ASK);
    await client.upTo("\r\n\r\n");
    expect((await client.rest()).toString()).toBe("bye");
    await client.sent(Buffer.alloc(100_000));
    client.end();
    expect((await proxy.whenFinished()).error).toBeUndefined();
    expect(await uploaded).toBe(100_000);
  });

  test("that is refused is an ordinary answer, after which both connections go on", async () => {
    await using origin = await Origin.start(async (connection) => {
      for (;;) {
        await connection.message();
        connection.send(
          "HTTP/1.1 426 Upgrade Required\r\nUpgrade: echo/2\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno",
        );
      }
    });
    await using proxy = await TestProxy.start({ origin });
    await using client = await proxy.connect();
    for (let turn = 0; turn < 2; turn++) {
      client.send(ASK);
      const answer = await client.message();
      // RFC 9110, section 15.5.22: it must say what to ask for.
      expect([answer.body.toString(), answer.field("upgrade"), answer.field("connection")]).toEqual([
        "no",
        "echo/2",
        "upgrade",
      ]);
    }
    expect(origin.connections).toHaveLength(1);
  });

  test.each([
    ["is named in Upgrade only", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo/1\r\n\r\n"],
    ["comes by HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n"],
    [
      "would carry requests past all hooks",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    ],
  ])("that %s is not passed on", async (_why, ask) => {
    await using origin = await Origin.start(async (connection) => {
      const request = await connection.message({ toHead: true });
      connection.send(
        `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${request.field("upgrade") === undefined ? "ok" : "in"}`,
      );
    });
    await using proxy = await TestProxy.start({ origin });
    await using client = await proxy.connect();
    client.send(ask);
    expect((await client.message()).body.toString()).toBe("ok");
  });

  test("that nobody asked for is a bad answer: 502", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      connection.send(CHANGED, "x");
    });
    await using proxy = await TestProxy.start({ origin });
    await using client = await proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await client.message()).status).toBe(502);
  });

  test("whose upstream is reset resets the client, and the other way round", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      connection.send(CHANGED);
    });
    await using proxy = await TestProxy.start({ origin });
    await using first = await proxy.connect();
    first.send(ASK);
    await first.upTo("\r\n\r\n");
    (await origin.connection(0)).reset();
    await first.whenClosed();
    expect(first.error?.code).toBe("ECONNRESET");

    await using second = await proxy.connect();
    second.send(ASK);
    await second.upTo("\r\n\r\n");
    second.reset();
    await (await origin.connection(1)).whenEnded();
    expect((await proxy.whenFinished(2)).error?.source).toBe("downstream");
  });

  test("is cut when neither side has sent anything for tunnelIdleMs", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      connection.send(CHANGED);
    });
    await using proxy = await TestProxy.start({ origin }, { http1: { tunnelIdleMs: 50 } });
    await using client = await proxy.connect();
    client.send(ASK);
    await client.upTo("\r\n\r\n");
    await client.whenClosed();
    expect((await proxy.whenFinished()).error?.message).toContain("neither side of the tunnel sent anything for 50 ms");
    await (await origin.connection()).whenEnded();
  });

  test("is seen by body filters", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      connection.send(CHANGED);
      connection.send(await connection.bytes(3)).end();
    });
    await using proxy = await TestProxy.start({
      origin,
      requestBodyFilter: (_session, piece) => piece && Buffer.from(piece.toString().toUpperCase()),
      responseBodyFilter: (_session, piece) => piece && Buffer.concat([piece, Buffer.from("!")]),
    });
    await using client = await proxy.connect();
    client.send(ASK);
    await client.upTo("\r\n\r\n");
    client.send("abc");
    expect((await client.rest()).toString()).toBe("ABC!");
  });
});

describe("WebSocket by ws on both ends", () => {
  test("text, binary, fragments, pings, close codes and permessage-deflate pass", async () => {
    const closed = Promise.withResolvers<[code: number, reason: string]>();
    const http = createHttpServer();
    const server = new WebSocketServer({ server: http, perMessageDeflate: true });
    server.on("connection", (socket) => {
      socket.on("message", (data, binary) => socket.send(data as Buffer, { binary }));
      socket.on("close", (code, reason) => closed.resolve([code, reason.toString()]));
    });
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
    await using proxy = await TestProxy.start({
      origin: { address: `127.0.0.1:${(http.address() as AddressInfo).port}` },
    });

    const client = new WebSocket(`ws://${proxy.address}/`, { perMessageDeflate: true });
    await once(client, "open");
    expect(client.extensions).toContain("permessage-deflate");
    const received: (string | Buffer)[] = [];
    client.on("message", (data, binary) => received.push(binary ? (data as Buffer) : (data as Buffer).toString()));
    const large = randomBytes(300_000);
    client.send("text");
    client.send(large);
    client.send("frag", { fin: false });
    client.send("ments");
    for (let n = 0; n < 1000; n++) client.send(`message ${n}`);
    client.ping("are you there");
    const [pong] = (await once(client, "pong")) as [Buffer];
    expect(pong.toString()).toBe("are you there");
    while (received.length < 1003) await once(client, "message");
    expect(received[0]).toBe("text");
    expect(large.equals(received[1] as Buffer)).toBe(true);
    expect(received[2]).toBe("fragments");
    expect(received.slice(3)).toEqual(Array.from({ length: 1000 }, (_, n) => `message ${n}`));

    client.close(4001, "enough");
    const [code, reason] = (await once(client, "close")) as [number, Buffer];
    expect([code, reason.toString()]).toEqual([4001, "enough"]);
    expect(await closed.promise).toEqual([4001, "enough"]);
    expect((await proxy.whenFinished()).error).toBeUndefined();
    server.close();
    http.close();
  });
});
