import { once } from "node:events";
import type { Http2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { LEGS, TRUSTED, type Leg } from "./legs.ts";
import { cut, webSocketLine, webSocketOn, type Handshake, type Opened, type WebSocketLine } from "./websocket-line.ts";

/** A tunnel that is open, by bytes. */
interface Ends extends AsyncDisposable {
  readonly on: WebSocketLine;
  readonly opened: Opened;
  readonly client: Duplex;
  readonly origin: Duplex;
}

async function tunnel(
  leg: Leg,
  agreed: Record<string, string> = {},
  asked: Record<string, string> = {},
): Promise<Ends> {
  const accepted = Promise.withResolvers<Duplex>();
  const on = await webSocketLine(leg, (handshake) => accepted.resolve(handshake.accept(agreed)));
  const opened = await on.open("/chat?room=1", asked);
  return {
    on,
    opened,
    client: opened.stream,
    origin: await accepted.promise,
    [Symbol.asyncDispose]: () => on[Symbol.asyncDispose](),
  };
}

/** A tunnel with WebSockets at its ends. */
async function sockets(leg: Leg): Promise<Ends & { readonly near: WebSocket; readonly far: WebSocket }> {
  const ends = await tunnel(leg);
  return {
    ...ends,
    near: webSocketOn(ends.client, false),
    far: webSocketOn(ends.origin, true),
    [Symbol.asyncDispose]: () => ends[Symbol.asyncDispose](),
  };
}

function messages(socket: WebSocket, count: number): Promise<string[]> {
  const received: string[] = [];
  return new Promise((resolve) => {
    socket.on("message", (data: Buffer) => {
      received.push(String(data));
      if (received.length === count) resolve(received);
    });
  });
}

/** Everything until the end of the direction; `whole` if it ended, and was not cut. */
function readToEnd(stream: Duplex): Promise<{ text: string; whole: boolean }> {
  let text = "";
  let failed = false;
  stream.on("data", (chunk: Buffer) => (text += String(chunk)));
  stream.on("error", () => (failed = true));
  return new Promise((resolve) => {
    // Node says `end` of a stream of HTTP/2 that was reset, too.
    stream.once("end", () => resolve({ text, whole: !failed && ((stream as Http2Stream).rstCode ?? 0) === 0 }));
    stream.once("close", () => resolve({ text, whole: false }));
  });
}

describe.each(LEGS)("WebSocket, $name", (leg) => {
  test("the handshake reaches the origin as its version says it, and its answer the client", async () => {
    await using ends = await tunnel(
      leg,
      { "sec-websocket-protocol": "chat" },
      { "sec-websocket-protocol": "chat, superchat", origin: "http://site.test", cookie: "a=1" },
    );
    const { path, fields } = ends.on.handshakes[0]!;
    expect(path).toBe("/chat?room=1");
    expect(fields).toMatchObject({
      "sec-websocket-protocol": "chat, superchat",
      "sec-websocket-version": "13",
      origin: "http://site.test",
      cookie: "a=1",
    });
    const { status, fields: given } = ends.opened;
    expect([status, given["sec-websocket-protocol"]]).toEqual([leg.downstream === 1 ? 101 : 200, "chat"]);
    // RFC 8441, section 5: the key and its answer are of HTTP/1 alone, and so is Upgrade.
    if (leg.upstream === 2) {
      for (const name of ["sec-websocket-key", "upgrade", "connection"]) expect(fields).not.toHaveProperty(name);
    } else {
      expect(fields["sec-websocket-key"]).toMatch(/^[A-Za-z0-9+/]{22}==$/);
      expect(fields).toMatchObject({ upgrade: "websocket", connection: expect.stringMatching(/upgrade/i) });
    }
    if (leg.downstream === 2) {
      for (const name of ["sec-websocket-accept", "upgrade", "connection"]) expect(given).not.toHaveProperty(name);
    } else {
      expect(given).toMatchObject({ upgrade: "websocket", "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" });
    }
  });

  test("1,000 messages each way at the same time arrive all, in order", async () => {
    await using ends = await sockets(leg);
    const { near, far } = ends;
    const text = (n: number): string => `message ${n} ${"x".repeat((n * 7) % 3000)}`;
    const [atFar, atNear] = [messages(far, 1000), messages(near, 1000)];
    for (let n = 0; n < 1000; n++) {
      near.send(text(n));
      far.send(text(n));
    }
    const expected = Array.from({ length: 1000 }, (_, n) => text(n));
    expect(await atFar).toEqual(expected);
    expect(await atNear).toEqual(expected);
  });

  test("4 MiB in one message pass both ways", async () => {
    await using ends = await sockets(leg);
    const { near, far } = ends;
    const sent = Buffer.alloc(4 * 1024 * 1024, "0123456789abcdef");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const received = once(to, "message") as Promise<[Buffer]>;
      from.send(sent);
      expect((await received)[0].equals(sent)).toBe(true);
    }
  });

  test.for(["client", "origin"] as const)(
    "a close by the %s arrives with its code and reason, and ends the request",
    async (who) => {
      await using ends = await sockets(leg);
      const [from, to] = who === "client" ? [ends.near, ends.far] : [ends.far, ends.near];
      const closed = once(to, "close") as Promise<[number, Buffer]>;
      const answered = once(from, "close") as Promise<[number]>;
      from.close(4001, "that is all");
      const [[code, reason], [back]] = await Promise.all([closed, answered]);
      expect([code, String(reason), back]).toEqual([4001, "that is all", 4001]);
      const { error, session } = await ends.on.proxy.whenFinished();
      expect([error, session.responseStatus, session.wasUpgraded]).toEqual([undefined, 101, true]);
    },
  );

  test.for(["client", "origin"] as const)(
    "the %s may end its direction alone: what the other still sends arrives",
    async (who) => {
      await using ends = await tunnel(leg);
      const [first, second] = who === "client" ? [ends.client, ends.origin] : [ends.origin, ends.client];
      const [read, readBack] = [readToEnd(second), readToEnd(first)];
      first.end("the last of it");
      expect(await read).toEqual({ text: "the last of it", whole: true });
      second.write("still ");
      second.end("here");
      expect(await readBack).toEqual({ text: "still here", whole: true });
      expect((await ends.on.proxy.whenFinished()).error).toBeUndefined();
    },
  );

  test.for(["client", "origin"] as const)(
    "a %s that resets does not look to have ended, and the log says who",
    async (who) => {
      await using ends = await tunnel(leg);
      const [first, second] = who === "client" ? [ends.client, ends.origin] : [ends.origin, ends.client];
      const arrived = once(second, "data");
      first.write("half of");
      await arrived;
      const read = readToEnd(second);
      cut(first);
      expect((await read).whole).toBe(false);
      const { error } = await ends.on.proxy.whenFinished();
      expect(error?.source).toBe(who === "client" ? "downstream" : "upstream");
    },
  );

  test("a refusal passes with its body, and the next request is served", async () => {
    await using on = await webSocketLine(leg, (handshake: Handshake) => handshake.refuse(403, "not you"));
    const { status, stream } = await on.open("/chat");
    expect([status, await readToEnd(stream)]).toEqual([403, { text: "not you", whole: true }]);
    expect(await on.get("/")).toBe(200);
  });

  test("an origin that leaves within the handshake is a 502", async () => {
    await using on = await webSocketLine(leg, (handshake) => handshake.cut());
    const { status } = await on.open("/chat");
    expect(status).toBe(502);
    expect((await on.proxy.whenFinished()).error?.source).toBe("upstream");
  });

  test("a hook refuses, and the origin hears nothing", async () => {
    await using on = await webSocketLine(leg, () => undefined, {
      requestFilter: (session) => session.respond(401, { body: "who is it?" }),
    });
    const { status, stream } = await on.open("/chat");
    expect([status, (await readToEnd(stream)).text, on.handshakes.length]).toEqual([401, "who is it?", 0]);
  });

  test("twenty at a time keep apart, beside other requests", async () => {
    await using on = await webSocketLine(leg, (handshake) => {
      const socket = webSocketOn(handshake.accept(), true);
      socket.on("message", (data: Buffer) => socket.send(`${handshake.path} ${String(data)}`));
    });
    const asked = Array.from({ length: 20 }, async (_, n) => {
      const socket = webSocketOn((await on.open(`/${n}`)).stream, false);
      const got = messages(socket, 20);
      for (let at = 0; at < 20; at++) socket.send(`${at}`);
      return await got;
    });
    expect(await on.get("/beside")).toBe(200);
    const expected = Array.from({ length: 20 }, (_, n) => Array.from({ length: 20 }, (__, at) => `/${n} ${at}`));
    expect(await Promise.all(asked)).toEqual(expected);
  });
});

describe.each(LEGS.filter(({ downstream }) => downstream === 2))("WebSocket, $name", (leg) => {
  test.for(["connect-udp", "h2c", "foo"])(
    "an extended CONNECT for %s is a 501, and the origin hears nothing",
    async (protocol) => {
      await using on = await webSocketLine(leg, (handshake) => handshake.accept());
      const { status, stream } = await on.open("/chat", {}, protocol);
      stream.resume();
      expect([status, on.handshakes.length]).toEqual([501, 0]);
      expect((await on.proxy.whenFinished()).error?.context).toContain(`an extended CONNECT for "${protocol}"`);
    },
  );
});

describe.each(LEGS.filter(({ downstream }) => downstream === 1))("WebSocket, $name", (leg) => {
  test("the client of `ws` and the proxy agree", async () => {
    await using on = await webSocketLine(leg, (handshake) => {
      const socket = webSocketOn(handshake.accept({ "sec-websocket-protocol": "chat" }), true);
      socket.on("message", (data: Buffer) => socket.send(`echo ${String(data)}`));
    });
    const client = new WebSocket(`${leg.tls ? "wss" : "ws"}://${on.proxy.address}/`, ["chat"], { ca: TRUSTED });
    await once(client, "open");
    expect(client.protocol).toBe("chat");
    client.send("hello");
    expect(String((await once(client, "message"))[0])).toBe("echo hello");
    client.close(1000);
    expect((await once(client, "close"))[0]).toBe(1000);
  });
});
