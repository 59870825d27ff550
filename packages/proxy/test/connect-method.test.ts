import { once } from "node:events";
import { createServer, request } from "node:http";
import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { HttpPeer, ProxyError, type HttpProxyOptions, type ProxyHttp } from "@sluice/proxy";
import { Origin, refusedAddress, type OriginScript } from "./support/origin.ts";
import { gate, TestProxy } from "./support/proxy.ts";

const CONNECT = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";
const ESTABLISHED = /^HTTP\/1\.1 200 Connection Established\r\nDate: [^\r]+\r\n\r\n$/;

/** A proxy that leads each CONNECT to `origin`, as bytes. */
function tunnelTo(
  origin: { readonly address: string },
  app: Partial<ProxyHttp<object>> = {},
  options: HttpProxyOptions = {},
): Promise<TestProxy<object>> {
  const upstreamPeer = (): HttpPeer => new HttpPeer(origin.address, { tunnel: true });
  return TestProxy.start({ upstreamPeer, ...app }, { allowConnect: true, ...options });
}

const echo: OriginScript = async (connection) => {
  for (;;) connection.send(await connection.some());
};

describe("CONNECT that is not enabled", () => {
  test("is answered with 405, and what follows is no request", async () => {
    await using proxy = await TestProxy.start({ upstreamPeer: () => new HttpPeer("127.0.0.1:1", { tunnel: true }) });
    await using client = await proxy.send(`${CONNECT}GET / HTTP/1.1\r\nHost: b\r\n\r\n`);
    const answer = await client.message();
    expect([answer.status, answer.field("connection"), answer.field("allow")]).toEqual([405, "close", ""]);
    expect((await client.rest()).toString()).toBe("");
    expect(proxy.errors.map(({ error }) => error)).toEqual([expect.stringContaining("CONNECT is not enabled")]);
    expect(proxy.finished).toHaveLength(1);
  });
});

describe("CONNECT to a peer with tunnel: true", () => {
  test("is answered by us, and bytes pass both ways as they are", async () => {
    await using origin = await Origin.start(async (connection) => {
      expect(await connection.upTo("!")).toBe("GET / HTTP/1.1\r\n\r\n!");
      connection.send("HTTP/1.1 500 x\r\n\r\n0\r\n\r\n");
      expect((await connection.rest()).toString()).toBe("last");
      connection.send("bye").end();
    });
    await using proxy = await tunnelTo(origin);
    await using client = await proxy.send(CONNECT);
    expect(await client.upTo("\r\n\r\n")).toMatch(ESTABLISHED);
    client.send("GET / HTTP/1.1\r\n\r\n!");
    expect(await client.upTo("0\r\n\r\n")).toBe("HTTP/1.1 500 x\r\n\r\n0\r\n\r\n");
    client.send("last").end();
    expect((await client.rest()).toString()).toBe("bye");
    const { error, session } = await proxy.whenFinished();
    expect(error).toBeUndefined();
    expect([session.responseStatus, session.wasUpgraded, session.responseBodyBytes]).toEqual([200, true, 26]);
    expect(session.outcome).toMatchObject({ status: 200, how: "complete" });
    expect([origin.failures, origin.connections.length]).toEqual([[], 1]);
    expect(proxy.pool.idleCount).toBe(0);
  });

  test("bytes that the client sends before it is answered wait for the tunnel", async () => {
    const { opened, open } = gate();
    await using origin = await Origin.start(echo);
    await using proxy = await tunnelTo(origin, { requestFilter: () => opened });
    await using client = await proxy.send(CONNECT, "early");
    open();
    await client.upTo("\r\n\r\n");
    expect((await client.bytes(5)).toString()).toBe("early");
  });

  test("what the upstream says first arrives behind the head", async () => {
    await using origin = await Origin.start(async (connection) => connection.send("SSH-2.0-x\r\n"));
    await using proxy = await tunnelTo(origin);
    await using client = await proxy.send(CONNECT);
    expect(await client.upTo("\r\n\r\n")).toMatch(ESTABLISHED);
    expect(await client.upTo("\r\n")).toBe("SSH-2.0-x\r\n");
  });

  test("large bodies pass in both directions at once, at the pace of who takes them", async () => {
    const size = 5_000_000;
    await using origin = await Origin.start(async (connection) => {
      connection.send(Buffer.alloc(size, 1));
      const got = await connection.rest();
      connection.send(String(got.length)).end();
    });
    await using proxy = await tunnelTo(origin);
    await using client = await proxy.send(CONNECT);
    await client.upTo("\r\n\r\n");
    client.pause();
    await client.sent(Buffer.alloc(size, 2));
    client.resume();
    expect((await client.bytes(size)).every((byte) => byte === 1)).toBe(true);
    client.end();
    expect((await client.rest()).toString()).toBe(String(size));
  });

  test("carries what a client of Node makes of it", async () => {
    const server = createServer((_request, response) => response.end("through the tunnel")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    await using proxy = await TestProxy.start(
      { upstreamPeer: (session) => new HttpPeer(session.request.target, { tunnel: true }) },
      { allowConnect: true },
    );
    const asked = request({ port: proxy.port, method: "CONNECT", path: `127.0.0.1:${port}` }).end();
    const [response, socket] = (await once(asked, "connect")) as [{ statusCode: number }, Socket];
    expect(response.statusCode).toBe(200);
    const inner = request({ createConnection: () => socket }).end();
    const [answer] = (await once(inner, "response")) as [AsyncIterable<Buffer>];
    let body = "";
    for await (const chunk of answer) body += chunk.toString();
    expect(body).toBe("through the tunnel");
    socket.destroy();
    server.close();
  });

  test("every phase runs, and sees what there is to see", async () => {
    const seen: string[] = [];
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("PING");
      connection.send("pong").end();
    });
    await using proxy = await tunnelTo(origin, {
      earlyRequestFilter: ({ downstream }) => void seen.push(`early ${downstream.isConnect}`),
      requestFilter: ({ request: { method, target } }) => void seen.push(`${method} ${target}`),
      connectedToUpstream: (_session, reused) => void seen.push(`connected ${reused}`),
      upstreamRequestFilter: (_session, outgoing) => void seen.push(`out ${outgoing.method} ${outgoing.target}`),
      requestBodyFilter: (session, piece, end) => {
        seen.push(`up ${piece?.toString()} ${end} ${session.wasUpgraded}`);
        return piece && Buffer.from(piece.toString().toUpperCase());
      },
      responseFilter: (_session, response) => void seen.push(`head ${response.status}`),
      responseBodyFilter: (_session, piece, end) => {
        seen.push(`down ${piece?.toString()} ${end}`);
        return piece && Buffer.concat([piece, Buffer.from("!")]);
      },
      logging: (session, error) => void seen.push(`logging ${session.responseStatus} ${error?.type}`),
    });
    await using client = await proxy.send(CONNECT);
    await client.upTo("\r\n\r\n");
    client.send("ping");
    expect((await client.rest()).toString()).toBe("pong!");
    client.end();
    await proxy.whenFinished();
    expect(seen).toEqual([
      "early true",
      "CONNECT a.test:443",
      "connected false",
      "out CONNECT a.test:443",
      // Of the CONNECT itself, which has no body.
      "up undefined true false",
      "head 200",
      "up ping false true",
      "down pong false",
      "down undefined true",
      "up undefined true true",
      "logging 200 undefined",
    ]);
  });

  test("a hook that takes its time for the end of the CONNECT does not end the tunnel with it", async () => {
    const { opened, open } = gate();
    let calls = 0;
    await using origin = await Origin.start(echo);
    await using proxy = await tunnelTo(origin, {
      requestBodyFilter: () => (++calls === 1 ? opened : undefined),
    });
    await using client = await proxy.send(CONNECT, "early");
    open();
    expect(await client.upTo("\r\n\r\n")).toMatch(ESTABLISHED);
    expect((await client.bytes(5)).toString()).toBe("early");
    client.send("later");
    expect((await client.bytes(5)).toString()).toBe("later");
  });

  test.each([
    ["Content-Length: 3", "abc"],
    ["Transfer-Encoding: chunked", "0\r\n\r\n"],
  ])("one that speaks of content is malformed (%s)", async (field, body) => {
    await using origin = await Origin.start(echo);
    await using proxy = await tunnelTo(origin);
    await using client = await proxy.send(CONNECT.replace("\r\n\r\n", `\r\n${field}\r\n\r\n`), body);
    const answer = await client.message();
    expect([answer.status, answer.field("connection")]).toEqual([400, "close"]);
    expect(origin.connections).toEqual([]);
  });

  test("that a hook refuses is an answer, after which the connection closes", async () => {
    await using origin = await Origin.start(echo);
    await using proxy = await tunnelTo(origin, {
      requestFilter: (session) =>
        session.respond(407, { fields: { "Proxy-Authenticate": 'Basic realm="x"' }, body: "who?" }),
    });
    await using client = await proxy.send(CONNECT, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const answer = await client.message();
    expect([answer.status, answer.body.toString(), answer.field("connection")]).toEqual([407, "who?", "close"]);
    expect((await client.rest()).length).toBe(0);
    expect(proxy.finished).toHaveLength(1);
    expect(origin.connections).toEqual([]);
  });

  test("to an upstream that cannot be reached is 502 with its reason, and another may be tried", async () => {
    const dead = await refusedAddress();
    await using origin = await Origin.start(echo);
    const peers = [dead, origin.address];
    await using proxy = await tunnelTo(origin, {
      upstreamPeer: (session) => new HttpPeer(peers[(session.tries - 1) % 2]!, { tunnel: true }),
      failToConnect: (session, _peer, _ctx, error) => error.setRetry(session.request.target.startsWith("a")),
    });
    await using client = await proxy.send(CONNECT);
    expect(await client.upTo("\r\n\r\n")).toMatch(ESTABLISHED);

    await using other = await proxy.send(CONNECT.replaceAll("a.test", "b.test"));
    const answer = await other.message();
    expect([answer.status, answer.field("connection")]).toEqual([502, "close"]);
    expect(answer.field("proxy-status")).toContain("connection_refused");
  });

  test.each([
    ["client", "upstream"],
    ["upstream", "client"],
  ])("that the %s resets is reset for the %s, too", async (who) => {
    await using origin = await Origin.start(echo);
    await using proxy = await tunnelTo(origin);
    await using client = await proxy.send(CONNECT, "x");
    await client.upTo("\r\n\r\nx");
    const connection = await origin.connection();
    (who === "client" ? client : connection).reset();
    await (who === "client" ? connection : client).whenClosed();
    expect((who === "client" ? connection : client).error?.code).toBe("ECONNRESET");
    const { error } = await proxy.whenFinished();
    expect(error?.source).toBe(who === "client" ? "downstream" : "upstream");
  });

  test("that is quiet is cut after tunnelIdleMs, and after tunnelHalfCloseMs once one side has ended", async () => {
    await using origin = await Origin.start(echo);
    await using idle = await tunnelTo(origin, {}, { http1: { tunnelIdleMs: 50 } });
    await using first = await idle.send(CONNECT);
    await first.upTo("\r\n\r\n");
    await first.whenClosed();
    expect((await idle.whenFinished()).error?.message).toContain("neither side of the tunnel sent anything for 50 ms");

    await using half = await tunnelTo(origin, {}, { http1: { tunnelHalfCloseMs: 50 } });
    await using second = await half.send(CONNECT);
    await second.upTo("\r\n\r\n");
    second.end();
    await second.whenClosed();
    expect((await half.whenFinished()).error?.message).toContain("one side of the tunnel has ended");
  });

  test("is for CONNECT alone: another request to such a peer is an error of the app", async () => {
    await using origin = await Origin.start(echo);
    await using proxy = await tunnelTo(origin);
    await using client = await proxy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors.map(({ error }) => error)).toEqual([
      expect.stringContaining("a peer with tunnel: true is for CONNECT; the request is a GET"),
    ]);
    await (await origin.connection()).whenEnded();
  });
});

describe("CONNECT to an ordinary peer", () => {
  const through = (origin: Origin, app: Partial<ProxyHttp<object>> = {}): Promise<TestProxy<object>> =>
    TestProxy.start({ origin, ...app }, { allowConnect: true });

  test("goes up, and any 2xx opens a tunnel", async () => {
    await using origin = await Origin.start(async (connection) => {
      const asked = await connection.message();
      expect(asked.startLine).toBe("CONNECT a.test:443 HTTP/1.1");
      expect([asked.field("host"), asked.field("via"), asked.field("content-length")]).toEqual([
        "a.test:443",
        "1.1 sluice",
        undefined,
      ]);
      // Bodies that it speaks of are to be ignored: what follows is the tunnel.
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok, and more");
      connection.send(await connection.upTo("!")).end();
    });
    await using proxy = await through(origin);
    await using client = await proxy.send(CONNECT);
    const head = await client.upTo("\r\n\r\n");
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(head).toContain("\r\nX-A: b\r\n");
    expect(head).not.toMatch(/\r\n(Content-Length|Transfer-Encoding|Connection):/i);
    client.send("up!");
    expect((await client.rest()).toString()).toBe("ok, and moreup!");
    client.end();
    expect((await proxy.whenFinished()).error).toBeUndefined();
    expect([origin.failures, proxy.pool.idleCount]).toEqual([[], 0]);
  });

  test("a client of HTTP/1.0 without Host is given the target as Host", async () => {
    await using origin = await Origin.start(async (connection) => {
      connection.send(`HTTP/1.1 200 OK\r\n\r\n${(await connection.message()).field("host")}`).end();
    });
    await using proxy = await through(origin);
    await using client = await proxy.send("CONNECT a.test:443 HTTP/1.0\r\n\r\n");
    await client.upTo("\r\n\r\n");
    expect((await client.rest()).toString()).toBe("a.test:443");
  });

  test("that it refuses is its answer; its connection is used again, the client's closes", async () => {
    await using origin = await Origin.start(async (connection) => {
      for (;;) {
        await connection.message();
        connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
      }
    });
    await using proxy = await through(origin);
    for (let turn = 0; turn < 2; turn++) {
      await using client = await proxy.send(CONNECT, "not for you");
      const answer = await client.message();
      expect([answer.status, answer.body.toString(), answer.field("connection")]).toEqual([403, "no", "close"]);
      expect((await client.rest()).length).toBe(0);
    }
    expect(origin.connections).toHaveLength(1);
  });

  test("an upstream that is lost before its answer is 502, and nothing is sent twice", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      if (connection.index === 0) connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
      await connection.message();
      connection.close();
    });
    await using proxy = await through(origin);
    await using first = await proxy.send(CONNECT);
    expect((await first.message()).status).toBe(403);
    await using second = await proxy.send(CONNECT);
    expect((await second.message()).status).toBe(502);
    expect(origin.connections).toHaveLength(1);
  });

  test("tunnel bytes are not taken for content to compress", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(`HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n${"x".repeat(1000)}`).end();
    });
    await using proxy = await through(origin, {
      earlyRequestFilter: (session) => void session.upstreamCompression.setLevel(6),
    });
    await using client = await proxy.send(CONNECT.replace("\r\n\r\n", "\r\nAccept-Encoding: gzip\r\n\r\n"));
    expect(await client.upTo("\r\n\r\n")).not.toContain("Content-Encoding");
    expect((await client.rest()).toString()).toBe("x".repeat(1000));
  });

  test.each([
    ["a CONNECT that goes up as GET", CONNECT, "GET"],
    ["another method that goes up as CONNECT", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT"],
  ])("%s is an error of the app", async (message, ask, method) => {
    await using origin = await Origin.start(echo);
    await using proxy = await through(origin, {
      upstreamRequestFilter: (_session, outgoing) => void (outgoing.method = method),
    });
    await using client = await proxy.send(ask);
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors.map(({ error }) => error)).toEqual([expect.stringContaining(message)]);
    expect((await origin.connection()).receivedBytes).toBe(0);
  });

  test("a filter may refuse what the upstream has granted by an error, not by another status", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send("HTTP/1.1 200 OK\r\n\r\n");
    });
    await using proxy = await through(origin, {
      responseFilter: (session, response) => {
        if (session.request.target.startsWith("a")) throw ProxyError.httpStatus(403);
        response.status = 403;
      },
    });
    await using thrown = await proxy.send(CONNECT);
    expect((await thrown.message()).status).toBe(403);
    await using changed = await proxy.send(CONNECT.replaceAll("a.test", "b.test"));
    expect((await changed.message()).status).toBe(500);
    expect(proxy.errors.at(-1)!["error"]).toContain("of another kind");
  });
});
