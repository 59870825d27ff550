import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2, constants, sensitiveHeaders, type ClientHttp2Session } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { HttpPeer, type PeerOptions } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { ENABLE_CONNECT_PROTOCOL, RST_STREAM, WINDOW_UPDATE } from "../../core/test/http2-frames.ts";
import { nodeH2Origin, type NodeOrigin } from "../../core/test/http2-upstream-harness.ts";
import { data, FrameOrigin, goaway, head, ok, reset } from "../../core/test/http2-origin.ts";
import { testWith } from "../../../test/programs.ts";
import { chunked, patternBytes } from "./support/message.ts";
import { get, startProxy, type TestApp, type TestProxy } from "./support/proxy.ts";

/** Clients of HTTP/1 and HTTP/2 before upstreams of HTTP/2, by prior knowledge. */

type Origin = { readonly address: string };

function proxyTo(origin: Origin, peer: PeerOptions = {}, app: TestApp<object> = {}): Promise<TestProxy<object>> {
  const to = new HttpPeer(origin.address, { minHttpVersion: 2, ...peer });
  return startProxy({ origin: to, ...app }, { http2: { h2c: true } });
}

/** An origin that answers with what it was asked, and how. */
function echoOrigin(): Promise<NodeOrigin> {
  return nodeH2Origin((stream, headers, raw) => {
    const pieces: Buffer[] = [];
    let trailers: unknown;
    stream.on("data", (chunk: Buffer) => pieces.push(chunk));
    stream.on("trailers", (_given, _flags, list: string[]) => (trailers = list));
    stream.on("end", () => {
      const body = Buffer.concat(pieces);
      stream.respond({ ":status": 200, "x-length": body.length, "content-type": "application/json" });
      stream.end(headers[":method"] === "HEAD" ? "" : JSON.stringify({ raw, trailers }));
    });
  });
}

async function ask(proxy: TestProxy<object>, ...request: (string | Uint8Array)[]) {
  const client = await proxy.send(...request);
  return client.message();
}

/** A client of HTTP/2. */
async function http2Client(proxy: TestProxy<object>): Promise<ClientHttp2Session & AsyncDisposable> {
  const client = connectHttp2(`http://${proxy.address}`);
  await once(client, "remoteSettings");
  return Object.assign(client, {
    async [Symbol.asyncDispose]() {
      if (client.destroyed) return;
      const closed = once(client, "close");
      client.destroy();
      await closed;
    },
  }) as ClientHttp2Session & AsyncDisposable;
}

describe("a response of which only the end is missing, cut in the turn its head came,", () => {
  test.each([
    ["GET", "2", "ok"],
    ["GET", "0", ""],
    ["HEAD", "2", ""],
  ])("is a 502 to a client of HTTP/1: %s, Content-Length: %s", async (method, length, body) => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      const bytes = body === "" ? [] : [data(stream, body)];
      connection.send(head(stream, { ":status": "200", "content-length": length }), ...bytes, reset(stream, 8));
    });
    await using proxy = await proxyTo(origin);
    const client = await proxy.send(`${method} / HTTP/1.1\r\nHost: test\r\n\r\n`);
    expect(String(await client.rest())).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    expect(proxy.logs[0]).toMatchObject({ type: "H2Error", status: 502 });
  });
});

describe("a client of HTTP/1", () => {
  test("is answered, and its head becomes one of HTTP/2", async () => {
    await using origin = await echoOrigin();
    await using proxy = await proxyTo(origin);
    const request =
      "GET /a?b HTTP/1.1\r\nHost: a.test:8080\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\n" +
      "TE: trailers, deflate\r\nCookie: a=1\r\nCookie: b=2\r\nX-Caps: Yes\r\nProxy-Connection: close\r\n\r\n";
    const answer = await ask(proxy, request);
    expect(answer.startLine).toBe("HTTP/1.1 200 OK");
    expect(answer.field("content-type")).toBe("application/json");
    expect((JSON.parse(answer.body.toString()) as { raw: string[] }).raw).toEqual([
      ":method",
      "GET",
      ":scheme",
      "http",
      ":authority",
      "a.test:8080",
      ":path",
      "/a?b",
      "cookie",
      "a=1",
      "cookie",
      "b=2",
      "x-caps",
      "Yes",
      "te",
      "trailers",
      "via",
      "1.1 sluice",
    ]);
  });

  test("many of them share one connection", async () => {
    let atOnce = 0;
    let most = 0;
    const gate = Promise.withResolvers<void>();
    await using origin = await nodeH2Origin((stream) => {
      most = Math.max(most, ++atOnce);
      if (atOnce === 50) gate.resolve();
      void gate.promise.then(() => {
        stream.respond({ ":status": 200 });
        stream.end("ok");
      });
    });
    await using proxy = await proxyTo(origin);
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(proxy, get())));
    expect(answers.map(({ body }) => body.toString())).toEqual(Array(50).fill("ok"));
    expect([most, origin.connections()]).toEqual([50, 1]);
  });

  test.each([
    ["with a length", "Content-Length: 300000\r\n", patternBytes(300_000)],
    ["in chunks", "Transfer-Encoding: chunked\r\n", chunked(patternBytes(300_000))],
  ])("sends a body %s", async (_, framing, body) => {
    await using origin = await echoOrigin();
    await using proxy = await proxyTo(origin);
    const answer = await ask(proxy, `POST / HTTP/1.1\r\nHost: test\r\n${framing}\r\n`, body);
    expect(answer.field("x-length")).toBe("300000");
    const { raw } = JSON.parse(answer.body.toString()) as { raw: string[] };
    expect(raw).not.toContain("transfer-encoding");
    expect(raw.includes("content-length")).toBe(framing.startsWith("Content-Length"));
  });

  test("sends trailers, and gets them", async () => {
    let seen: unknown;
    await using origin = await nodeH2Origin((stream) => {
      stream.on("trailers", (_given, _flags, raw: string[]) => (seen = raw));
      stream.resume();
      stream.on("end", () => {
        stream.respond({ ":status": 200 }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "down" }));
        stream.end("body");
      });
    });
    await using proxy = await proxyTo(origin);
    const post = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    const answer = await ask(proxy, post, chunked(Buffer.from("up"), 10, "X-Sum: up\r\n"));
    expect(seen).toEqual(["x-sum", "up"]);
    expect([answer.body.toString(), answer.trailers]).toEqual(["body", [["x-sum", "down"]]]);
  });

  test.each([
    ["HEAD", { ":status": "200", "content-length": "11" }, 200],
    ["GET", { ":status": "204" }, 204],
    ["GET", { ":status": "304", etag: '"a"' }, 304],
  ] as const)("gets the head alone for %s", async (method, fields, status) => {
    await using origin = await FrameOrigin.start(async (connection) => {
      for (;;) connection.send(head(await connection.request(), fields, true));
    });
    await using proxy = await proxyTo(origin);
    const client = await proxy.connect();
    for (let again = 0; again < 2; again++) {
      client.send(`${method} / HTTP/1.1\r\nHost: test\r\n\r\n`);
      const answer = await client.message({ toHead: method === "HEAD" });
      expect([answer.status, answer.body.length]).toEqual([status, 0]);
    }
  });

  test("is told interim responses, and to go on with its body", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(head(stream, { ":status": "103", link: "</a.css>" }), head(stream, { ":status": "100" }));
      await connection.next(0);
      connection.send(ok(stream, "got it"));
    });
    await using proxy = await proxyTo(origin);
    const client = await proxy.send(
      "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    expect((await client.message()).startLine).toBe("HTTP/1.1 103 Early Hints");
    expect((await client.message()).startLine).toBe("HTTP/1.1 100 Continue");
    client.send("hi");
    expect((await client.message()).body.toString()).toBe("got it");
  });

  test("gets an answer that comes while it is still sending, whole", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(
        head(stream, { ":status": "413" }),
        data(stream, "too large", true),
        reset(stream, constants.NGHTTP2_NO_ERROR),
      );
    });
    await using proxy = await proxyTo(origin);
    const answer = await ask(proxy, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n", "begun");
    expect([answer.status, answer.body.toString()]).toEqual([413, "too large"]);
  });

  test("sees that a response was cut, whose stream was reset", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(head(stream, { ":status": "200" }), data(stream, "half"));
      await connection.next(WINDOW_UPDATE).catch(() => undefined);
    });
    await using proxy = await proxyTo(origin);
    const client = await proxy.send(get());
    await client.upTo("half");
    origin.connections[0]!.send(reset(1, constants.NGHTTP2_NO_ERROR));
    const rest = (await client.rest()).toString("latin1");
    expect(rest).not.toContain("0\r\n\r\n");
    const { error } = await proxy.whenFinished();
    expect(error).toMatchObject({ type: "H2Error", source: "upstream", detail: "response-body" });
    expect(proxy.errors[0]).toMatchObject({ proxy_status: "http_response_incomplete", cut: true });
  });

  test("who leaves cancels its stream, and no other", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const first = await connection.request();
      const second = await connection.request();
      await connection.find(({ type }) => type === RST_STREAM);
      connection.send(ok(second, "still here"));
      return first;
    });
    await using proxy = await proxyTo(origin);
    const leaving = await proxy.send(get("/leaving"));
    const connection = await origin.connection();
    await connection.find(({ type }) => type === 1);
    const staying = await proxy.send(get("/staying"));
    await connection.find(({ type, streamId }) => type === 1 && streamId === 3);
    leaving.close();
    expect((await staying.message()).body.toString()).toBe("still here");
    const cancelled = await connection.find(({ type }) => type === RST_STREAM);
    expect([cancelled.streamId, cancelled.payload.readUInt32BE()]).toEqual([1, constants.NGHTTP2_CANCEL]);
  });

  test("that reads nothing holds up no other, and what is kept for it is bounded", async () => {
    const LARGE = 50_000_000;
    let sent = 0;
    await using origin = await nodeH2Origin((stream, headers) => {
      stream.respond({ ":status": 200 });
      if (headers[":path"] !== "/large") {
        stream.end("small");
        return;
      }
      const chunk = Buffer.alloc(65_536);
      const more = (): void => {
        while (sent < LARGE) {
          sent += chunk.length;
          if (!stream.write(chunk)) break;
        }
        if (sent >= LARGE) stream.end();
      };
      stream.on("drain", more);
      more();
    });
    await using proxy = await proxyTo(origin);
    const stalled = (await proxy.send(get("/large"))).pause();
    const other = await proxy.connect();
    for (let count = 0; count < 200; count++) {
      other.send(get());
      expect((await other.message()).body.toString()).toBe("small");
    }
    expect(sent).toBeLessThan(LARGE / 2);
    expect(origin.connections()).toBe(1);
    stalled.resume();
    expect((await stalled.message()).body.length).toBeGreaterThanOrEqual(LARGE);
  });

  test("by HTTP/1.0 without Host is passed on with the upstream's name", async () => {
    await using origin = await echoOrigin();
    await using proxy = await proxyTo(origin);
    const answer = await ask(proxy, "GET / HTTP/1.0\r\n\r\n");
    expect(answer.body.toString()).toContain(`":authority","${origin.address}"`);
  });

  test("with an empty Host gets an error that says why", async () => {
    await using origin = await echoOrigin();
    await using proxy = await proxyTo(origin);
    const answer = await ask(proxy, "GET / HTTP/1.1\r\nHost:\r\n\r\n");
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(proxy.errors[0]!["error"]).toContain(":authority");
  });
});

describe("a client of HTTP/2", () => {
  test("is answered over HTTP/2, with trailers", async () => {
    await using origin = await nodeH2Origin((stream, headers) => {
      stream.respond({ ":status": 200, "grpc-encoding": "identity" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.on("data", (chunk: Buffer) => stream.write(chunk));
      stream.on("end", () => stream.end(`;${String(headers["te"])}`));
    });
    await using proxy = await proxyTo(origin);
    await using client = await http2Client(proxy);
    const stream = client.request({ ":method": "POST", ":path": "/x", te: "trailers" });
    let body = "";
    stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
    let trailers: unknown;
    stream.on("trailers", (given: object) => (trailers = { ...given }));
    stream.write("one");
    await once(stream, "data");
    stream.end("two");
    await once(stream, "close");
    expect(body).toBe("onetwo;trailers");
    expect(trailers).toMatchObject({ "grpc-status": "0" });
  });

  test("sees a reset where the upstream's stream was reset", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(head(stream, { ":status": "200" }), data(stream, "half"));
    });
    await using proxy = await proxyTo(origin);
    await using client = await http2Client(proxy);
    const stream = client.request({ ":path": "/" });
    stream.on("error", () => undefined);
    await once(stream, "data");
    const closed = new Promise((resolve) => stream.on("close", resolve));
    origin.connections[0]!.send(reset(1, constants.NGHTTP2_INTERNAL_ERROR));
    stream.resume();
    await closed;
    expect(stream.rstCode).not.toBe(constants.NGHTTP2_NO_ERROR);
  });
});

describe("an upstream that goes away", () => {
  test("by GOAWAY loses no request, whatever its method", async () => {
    await using origin = await FrameOrigin.start(async (connection, index) => {
      if (index === 0) {
        await connection.request();
        connection.send(goaway(0));
        return;
      }
      connection.send(ok(await connection.request(), "second"));
    });
    await using proxy = await proxyTo(origin);
    const answer = await ask(proxy, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
    expect([answer.status, answer.body.toString()]).toEqual([200, "second"]);
  });

  test("while many are under way gives each an answer", async () => {
    await using origin = await FrameOrigin.start(async (connection, index) => {
      for (let count = 0; ; count++) {
        const stream = await connection.request();
        if (index === 0 && count === 9) connection.send(goaway(9));
        else if (index > 0 || stream <= 9) connection.send(ok(stream, String(index)));
      }
    });
    await using proxy = await proxyTo(origin);
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(proxy, get())));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect(answers.map(({ body }) => body.toString()).toSorted()).toEqual([..."00000".split(""), ..."11111".split("")]);
  });
});

describe("WebSocket", () => {
  /** An origin of HTTP/2 that takes WebSockets by extended CONNECT, and echoes. */
  function socketOrigin(seen: string[][] = []): Promise<NodeOrigin> {
    return nodeH2Origin(
      (stream, headers, raw) => {
        seen.push(raw);
        if (headers[":protocol"] !== "websocket") {
          stream.respond({ ":status": 400 });
          stream.end();
          return;
        }
        stream.respond({ ":status": 200, "sec-websocket-protocol": "chat" });
        const server = new (WebSocket as unknown as new (...given: unknown[]) => WebSocket)(
          null,
          undefined,
          {},
        ) as WebSocket & {
          setSocket(socket: unknown, head: Buffer, options: object): void;
        };
        server.setSocket(stream, Buffer.alloc(0), { maxPayload: 64 * 1024 * 1024, skipUTF8Validation: false });
        Object.assign(server, { _isServer: true });
        server.on("message", (message: Buffer, isBinary) => server.send(message, { binary: isBinary }));
      },
      { settings: { enableConnectProtocol: true } },
    );
  }

  test("of a client of HTTP/1 goes through an upstream of HTTP/2, beside other requests", async () => {
    const seen: string[][] = [];
    await using origin = await socketOrigin(seen);
    await using proxy = await proxyTo(origin);
    const client = new WebSocket(`ws://${proxy.address}/chat`, ["chat"]);
    await once(client, "open");
    expect(client.protocol).toBe("chat");
    expect(seen[0]!.slice(0, 10)).toEqual([
      ":method",
      "CONNECT",
      ":protocol",
      "websocket",
      ":scheme",
      "http",
      ":authority",
      proxy.address,
      ":path",
      "/chat",
    ]);
    expect(seen[0]).not.toContain("sec-websocket-key");
    expect(seen[0]).not.toContain("upgrade");
    const large = patternBytes(1_000_000);
    client.send("hello");
    expect(String((await once(client, "message"))[0])).toBe("hello");
    client.send(large);
    expect(((await once(client, "message"))[0] as Buffer).equals(large)).toBe(true);
    expect((await ask(proxy, get())).status).toBe(400);
    expect(origin.connections()).toBe(1);
    client.close();
    await once(client, "close");
    const { error } = await proxy.whenFinished(2);
    expect(error).toBeUndefined();
  });

  test("that the upstream refuses gets its answer", async () => {
    await using origin = await FrameOrigin.start(
      async (connection) => {
        const stream = await connection.request();
        connection.send(head(stream, { ":status": "403" }), data(stream, "no", true));
      },
      { [ENABLE_CONNECT_PROTOCOL]: 1 },
    );
    await using proxy = await proxyTo(origin);
    const client = await proxy.send(
      get(
        "/",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
      ),
    );
    const answer = await client.message();
    expect([answer.status, answer.body.toString()]).toEqual([403, "no"]);
    await (await origin.connection()).find(({ type, flags }) => type === RST_STREAM || (type === 0 && flags === 1));
  });

  test("to an upstream that has no extended CONNECT is an error that says so", async () => {
    await using origin = await echoOrigin();
    await using proxy = await proxyTo(origin);
    const answer = await ask(
      proxy,
      get(
        "/",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
      ),
    );
    expect(answer.status).toBe(502);
    expect(proxy.errors[0]!["error"]).toContain("SETTINGS_ENABLE_CONNECT_PROTOCOL");
  });

  test("cut by the upstream shows to be cut", async () => {
    await using origin = await FrameOrigin.start(
      async (connection) => {
        connection.send(head(await connection.request(), { ":status": "200" }));
        await connection.next(0);
        connection.send(reset(1, constants.NGHTTP2_CANCEL));
      },
      { [ENABLE_CONNECT_PROTOCOL]: 1 },
    );
    await using proxy = await proxyTo(origin);
    const client = await proxy.send(
      get(
        "/",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
      ),
    );
    const answer = await client.upTo("\r\n\r\n");
    expect(answer).toContain("HTTP/1.1 101");
    expect(answer.toLowerCase()).toContain("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=");
    client.send("frame");
    await client.whenClosed();
    expect((await proxy.whenFinished()).error).toMatchObject({ type: "H2Error", source: "upstream" });
  });

  test("other protocols are not asked for, and the request is an ordinary one", async () => {
    await using origin = await echoOrigin();
    await using proxy = await proxyTo(origin);
    const answer = await ask(
      proxy,
      get("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"),
    );
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toContain('":method","GET"');
    expect(answer.body.toString()).not.toContain("upgrade");
  });
});

testWith(
  "nginx",
  "nginx is an upstream of HTTP/2: bodies both ways, and its own limit of streams",
  async ({ nginx }) => {
    const folder = mkdtempSync(path.join(tmpdir(), "sluice-nginx-"));
    // Its workers may be another user's.
    chmodSync(folder, 0o755);
    const socket = path.join(folder, "nginx.sock");
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${folder}/${name};`)
      .join(" ");
    writeFileSync(path.join(folder, "large"), patternBytes(2_000_000));
    writeFileSync(
      path.join(folder, "nginx.conf"),
      `daemon off; pid ${folder}/nginx.pid; error_log stderr; events {}
     http { access_log off; ${temporary} http2_max_concurrent_streams 4;
       server { listen unix:${socket} http2; root ${folder}; location = /echo { return 200 "$request_method $host"; } } }`,
    );
    const child = spawn(nginx, ["-p", folder, "-c", path.join(folder, "nginx.conf"), "-e", "stderr"], {
      stdio: "ignore",
    });
    try {
      await listens(socket);
      await using proxy = await proxyTo({ address: `unix:${socket}` });
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(proxy, get("/echo"))));
      expect(new Set(answers.map(({ body }) => body.toString()))).toEqual(new Set(["GET test"]));
      expect((await ask(proxy, get("/large"))).body.equals(patternBytes(2_000_000))).toBe(true);
      const upload = patternBytes(500_000);
      const posted = await ask(
        proxy,
        `POST /echo HTTP/1.1\r\nHost: up\r\nContent-Length: ${upload.length}\r\n\r\n`,
        upload,
      );
      expect(posted.body.toString()).toBe("POST up");
      expect(proxy.errors).toEqual([]);
    } finally {
      child.kill();
      await once(child, "exit");
      rmSync(folder, { recursive: true });
    }
  },
);

/** Resolves when somebody listens there. */
async function listens(file: string): Promise<void> {
  for (;;) {
    const socket = connect(file);
    const up = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    });
    socket.destroy();
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("CONNECT goes through an upstream that is a proxy of HTTP/2", async () => {
  await using origin = await nodeH2Origin((stream, headers) => {
    stream.respond({ ":status": 200 });
    stream.write(`${headers[":authority"]}:${headers[":path"] ?? "no path"}\n`);
    stream.pipe(stream);
  });
  const to = new HttpPeer(origin.address, { minHttpVersion: 2 });
  await using proxy = await startProxy({ origin: to }, { allowConnect: true });
  const client = await proxy.send("CONNECT inner.test:443 HTTP/1.1\r\nHost: inner.test:443\r\n\r\n");
  expect(await client.upTo("\r\n\r\n")).toContain("HTTP/1.1 200");
  expect(await client.upTo("\n")).toBe("inner.test:443:no path\n");
  client.send("ping");
  expect((await client.bytes(4)).toString()).toBe("ping");
  client.end();
  await client.whenEnded();
  expect((await proxy.whenFinished()).error).toBeUndefined();
});

test("fields that are to stay out of all compression tables do so on both sides (RFC 7541, section 7.1.3)", async () => {
  let up: unknown;
  await using origin = await nodeH2Origin((stream, headers) => {
    up = (headers as Record<symbol, unknown>)[sensitiveHeaders];
    stream.respond(
      { ":status": 200, "x-token": "a", "x-other": "b", [sensitiveHeaders]: ["x-token"] },
      { endStream: true },
    );
  });
  await using proxy = await proxyTo(origin);
  await using client = await http2Client(proxy);
  for (let round = 0; round < 2; round++) {
    const request = client.request({
      ":path": "/key",
      "x-secret": "1",
      "x-plain": "2",
      [sensitiveHeaders]: ["x-secret", ":path"],
    });
    const [answer] = (await once(request, "response")) as [Record<symbol, unknown>];
    expect([up, answer[sensitiveHeaders]]).toEqual([[":path", "x-secret"], ["x-token"]]);
    request.close();
  }
});

test("a request head that is larger than the upstream takes is the client's to make smaller: 431, as its own answer would be", async () => {
  await using origin = await FrameOrigin.start(async () => undefined, { [6]: 1000 });
  await using proxy = await proxyTo(origin);
  const message = await ask(proxy, get("/", `X-Large: ${"a".repeat(1000)}\r\n`));
  expect(message.status).toBe(431);
  expect(message.field("proxy-status")).toBe("sluice;error=http_request_error");
});
