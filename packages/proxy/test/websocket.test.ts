import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer, type ServerOptions } from "ws";
import { TestProxy, type TestApp } from "./support/proxy.ts";

/** A WebSocket through the proxy: the client's end, the server's end, and the proxy between them. */
interface Line extends AsyncDisposable {
  readonly client: WebSocket;
  readonly server: WebSocket;
  readonly proxy: TestProxy<object>;
}

/** The app has a hook in every place that a tunnel passes, unless others are given. */
async function open(app: TestApp<object> = {}, options: ServerOptions = {}): Promise<Line> {
  const sockets = new WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: 64 * 1024 * 1024, ...options });
  await once(sockets, "listening");
  const origin = { address: `127.0.0.1:${(sockets.address() as AddressInfo).port}` };
  const accepted = once(sockets, "connection") as Promise<[WebSocket]>;
  const proxy = await TestProxy.start({
    origin,
    requestFilter: () => undefined,
    upstreamRequestFilter: (_session, request) => void request.set("X-Seen-By", "the proxy"),
    responseFilter: (_session, response) => void response.set("X-Passed-By", "the proxy"),
    requestBodyFilter: () => undefined,
    responseBodyFilter: () => undefined,
    ...app,
  });
  const client = new WebSocket(`ws://${proxy.address}/chat`, {
    perMessageDeflate: options.perMessageDeflate !== undefined,
    maxPayload: 64 * 1024 * 1024,
  });
  const [[server]] = await Promise.all([accepted, once(client, "open")]);
  return {
    client,
    server,
    proxy,
    async [Symbol.asyncDispose]() {
      client.terminate();
      for (const socket of sockets.clients) socket.terminate();
      await new Promise((resolve) => sockets.close(resolve));
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/** The next message, as bytes, and whether it was binary. */
async function message(socket: WebSocket): Promise<[bytes: Buffer, isBinary: boolean]> {
  const [data, isBinary] = (await once(socket, "message")) as [Buffer, boolean];
  return [data, isBinary];
}

/** The message that `send` causes. */
async function messageAfter(socket: WebSocket, send: () => void): Promise<[Buffer, boolean]> {
  const arrived = message(socket);
  send();
  return await arrived;
}

/** The next `count` messages in order. */
function messages(socket: WebSocket, count: number): Promise<string[]> {
  const received: string[] = [];
  return new Promise((resolve) => {
    socket.on("message", (data: Buffer) => {
      received.push(String(data));
      if (received.length === count) resolve(received);
    });
  });
}

const BOTH_WAYS = [
  ["from the client", ({ client, server }: Line) => [client, server] as const],
  ["from the server", ({ client, server }: Line) => [server, client] as const],
] as const;

describe.for(BOTH_WAYS)("WebSocket, %s", ([, ends]) => {
  test("text and binary messages arrive as they were sent, of any length that frames differ by", async () => {
    await using line = await open();
    const [from, to] = ends(line);
    // RFC 6455, section 5.2: 125 and 65,535 are the last lengths of their kinds.
    for (const bytes of [0, 1, 125, 126, 65_535, 65_536, 300_000]) {
      const sent = randomBytes(bytes);
      const [received, isBinary] = await messageAfter(to, () => from.send(sent));
      expect([received.equals(sent), isBinary]).toEqual([true, true]);
    }
    const [text, isBinary] = await messageAfter(to, () => from.send("grüße, 世界 🌍"));
    expect([text.toString(), isBinary]).toEqual(["grüße, 世界 🌍", false]);
  });

  test("a message in fragments, with a ping between them, arrives whole", async () => {
    await using line = await open();
    const [from, to] = ends(line);
    const pinged = once(to, "ping") as Promise<[Buffer]>;
    const received = message(to);
    from.send("one, ", { fin: false });
    from.send("two, ", { fin: false });
    from.ping("between");
    from.send("three", { fin: true });
    expect(String((await pinged)[0])).toBe("between");
    expect(String((await received)[0])).toBe("one, two, three");
  });

  test("a ping is answered by the other end with its payload", async () => {
    await using line = await open();
    const [from] = ends(line);
    const payload = randomBytes(125);
    const ponged = once(from, "pong") as Promise<[Buffer]>;
    from.ping(payload);
    expect((await ponged)[0].equals(payload)).toBe(true);
  });

  test.for([1000, 1001, 1011, 3000, 4999])("close code %i arrives with its reason", async (code) => {
    await using line = await open();
    const [from, to] = ends(line);
    const closed = once(to, "close") as Promise<[number, Buffer]>;
    const answered = once(from, "close") as Promise<[number, Buffer]>;
    from.close(code, "that is all");
    const [[received, reason], [back]] = await Promise.all([closed, answered]);
    expect([received, String(reason), back]).toEqual([code, "that is all", code]);
    expect((await line.proxy.whenFinished()).error).toBeUndefined();
  });

  test("an end without a close frame is seen as that: 1006", async () => {
    await using line = await open();
    const [from, to] = ends(line);
    const closed = once(to, "close") as Promise<[number]>;
    from.terminate();
    expect((await closed)[0]).toBe(1006);
  });

  test("16 MiB in one message pass at the reader's pace", async () => {
    await using line = await open();
    const [from, to] = ends(line);
    const sent = randomBytes(16 * 1024 * 1024);
    const [received] = await messageAfter(to, () => from.send(sent));
    expect(received.equals(sent)).toBe(true);
  });
});

test("10,000 messages each way at the same time arrive all, in order", async () => {
  await using line = await open();
  const { client, server } = line;
  const count = 10_000;
  const text = (n: number): string => `message ${n} ${"x".repeat(n % 300)}`;
  const [atServer, atClient] = [messages(server, count), messages(client, count)];
  for (let n = 0; n < count; n++) {
    client.send(text(n));
    server.send(text(n));
  }
  const expected = Array.from({ length: count }, (_, n) => text(n));
  expect(await atServer).toEqual(expected);
  expect(await atClient).toEqual(expected);
});

test("permessage-deflate is agreed on and passes untouched: what is compressed stays so", async () => {
  await using line = await open({}, { perMessageDeflate: { threshold: 0 } });
  const { client, server, proxy } = line;
  expect([client.extensions, server.extensions]).toEqual(["permessage-deflate", "permessage-deflate"]);
  const text = "a".repeat(1_000_000);
  const received = message(client);
  server.send(text);
  expect(String((await received)[0])).toBe(text);
  const echoed = message(server);
  client.send(text);
  expect(String((await echoed)[0])).toBe(text);
  const closed = once(server, "close");
  client.close();
  await closed;
  const { session } = await proxy.whenFinished();
  expect(session.responseBodyBytes).toBeGreaterThan(100);
  expect(session.responseBodyBytes).toBeLessThan(10_000);
});

test("hooks see the handshake and the frames, and may refuse", async () => {
  const seen = { up: 0, down: 0 };
  const app: TestApp<object> = {
    requestFilter: (session) =>
      session.request.get("authorization") === "secret" ? undefined : session.respond(401, { body: "who is it?" }),
    requestBodyFilter: (_session, piece) => void (seen.up += piece?.length ?? 0),
    responseBodyFilter: (_session, piece) => void (seen.down += piece?.length ?? 0),
  };
  const sockets = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(sockets, "listening");
  const origin = { address: `127.0.0.1:${(sockets.address() as AddressInfo).port}` };
  await using proxy = await TestProxy.start({ ...app, origin });
  const refused = new WebSocket(`ws://${proxy.address}/`);
  refused.on("error", () => undefined);
  const [, response] = (await once(refused, "unexpected-response")) as [unknown, { statusCode: number }];
  expect(response.statusCode).toBe(401);
  refused.terminate();

  const accepted = once(sockets, "connection") as Promise<[WebSocket, { headers: Record<string, string> }]>;
  const client = new WebSocket(`ws://${proxy.address}/`, { headers: { Authorization: "secret" } });
  const [[server]] = await Promise.all([accepted, once(client, "open")]);
  const [text] = await messageAfter(server, () => client.send("hello"));
  expect(String(text)).toBe("hello");
  const [back] = await messageAfter(client, () => server.send("hello back"));
  expect(String(back)).toBe("hello back");
  // Two bytes of frame head, four of the client's mask (RFC 6455, section 5.2).
  expect(seen).toEqual({ up: 2 + 4 + 5, down: 2 + 10 });
  client.close();
  await once(server, "close");
  await new Promise((resolve) => sockets.close(resolve));
});
