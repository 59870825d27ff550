import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { testWith } from "../../../test/programs.ts";
import { FLAG, FRAME, Http2FrameClient, requestFields } from "@sluice/core/testing";
import { collect, Http2Client } from "./support/http2-client.ts";
import { patternBytes } from "./support/message.ts";
import { answering, nodeOrigin, OK, Origin, refusedAddress } from "./support/origin.ts";
import { gate, startProxy, type TestApp, type TestProxy } from "./support/proxy.ts";

const run = promisify(execFile);

function start<Ctx = object>(app: TestApp<Ctx>, http2: object = {}): Promise<TestProxy<Ctx>> {
  return startProxy(app, { http2: { h2c: true, ...http2 } });
}

describe("a request over HTTP/2", () => {
  test("goes up as HTTP/1.1: Host first, cookies in one field, Via with the version that came", async () => {
    await using origin = await answering(OK);
    const seen: unknown[] = [];
    await using proxy = await start({
      origin,
      requestFilter(session) {
        seen.push(session.request.version, session.request.get("host"), session.request.scheme);
      },
      upstreamRequestFilter: (_session, outgoing) => void outgoing.set("X-Hook", "1"),
    });
    await using client = await Http2Client.connect(proxy);
    const got = await client.request({ ":path": "/a?b", cookie: ["a=1", "b=2"], te: "trailers", "x-a": "caf\xe9" });
    expect([got.status, got.body.toString(), got.code]).toEqual([200, "ok", 0]);
    expect(seen).toEqual(["2", "test", "http"]);
    const connection = await origin.connection();
    expect(connection.peek()).toBe("");
    expect(proxy.finished[0]!.session.outcome).toEqual({ status: 200, sent: 2, how: "complete" });
  });

  test("as the origin sees it", async () => {
    const heads: string[] = [];
    await using origin = await Origin.start(async (connection) => {
      heads.push(await connection.upTo("\r\n\r\n"));
      connection.send(OK);
    });
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    await client.request({ ":path": "/a?b", cookie: ["a=1", "b=2"], te: "trailers", "x-a": "caf\xe9" });
    expect(heads).toEqual([
      "GET /a?b HTTP/1.1\r\nHost: test\r\ncookie: a=1; b=2\r\nx-a: caf\xe9\r\nTE: trailers\r\nVia: 2 sluice\r\nConnection: TE\r\n\r\n",
    ]);
  });

  test("with a body of unknown length is chunked, and its trailers pass; with a length it keeps it", async () => {
    const bodies: unknown[] = [];
    await using origin = await nodeOrigin((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        const { "transfer-encoding": coding, "content-length": length } = request.headers;
        bodies.push([coding, length, body, { ...request.trailers }]);
        response.end();
      });
    });
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    await client.request({ ":method": "POST", "content-length": "3" }, "abc");
    const stream = client.session.request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-t": "1" }));
    stream.end("abc");
    await collect(stream);
    expect(bodies).toEqual([
      [undefined, "3", "abc", {}],
      ["chunked", undefined, "abc", { "x-t": "1" }],
    ]);
  });

  test("with a length, whose client awaits the answer before it ends its stream, is answered", async () => {
    await using origin = await nodeOrigin(
      (request, response) => void request.resume().on("end", () => response.end("ok")),
    );
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const stream = client.session.request({ ":method": "POST", ":path": "/", "content-length": "5" });
    stream.write("hello");
    const got = await collect(stream);
    expect([got.status, got.body.toString(), got.code]).toEqual([200, "ok", 0]);
  });

  test("many at once are served side by side, each with its own hooks", async () => {
    await using origin = await nodeOrigin((request, response) => response.end(request.url));
    await using proxy = await start<{ path: string }>({
      origin,
      newCtx: () => ({ path: "" }),
      requestFilter(session, ctx) {
        ctx.path = session.request.path;
      },
      responseFilter: (_session, header, ctx) => void header.set("X-Path", ctx.path),
    });
    await using client = await Http2Client.connect(proxy);
    const paths = Array.from({ length: 100 }, (_, n) => `/${n}`);
    const got = await Promise.all(paths.map((path) => client.request({ ":path": path })));
    expect(got.map(({ body }) => body.toString())).toEqual(paths);
    expect(got.map(({ fields }) => new Map(fields).get("x-path"))).toEqual(paths);
    expect(proxy.finished).toHaveLength(100);
  });

  test("whose body breaks its length is told as that, and not as a client that left", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
    });
    await using proxy = await start({ origin });
    await using client = await Http2FrameClient.connect(proxy.address);
    client.headers(1, [...requestFields("POST"), ["content-length", "5"]], FLAG.END_HEADERS).data(1, "abc", true);
    await client.next(FRAME.RST_STREAM, 1);
    const { error, session } = await proxy.whenFinished();
    expect(error?.rootError()).toMatchObject({ source: "downstream", detail: "http2-rules" });
    expect(session.outcome).toEqual({ status: 0, sent: 0, how: "not-sent" });
    expect(proxy.errors).toMatchObject([
      { level: 30, status: 0, hint: "the client breaks the rules of HTTP/2, as the error says" },
    ]);
  });

  test("that its client resets ends the upstream's exchange at once", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
    });
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const stream = client.open({}, true);
    await (await origin.connection()).message().catch(() => undefined);
    stream.close(8);
    const { error, session } = await proxy.whenFinished();
    expect(error).toMatchObject({ type: "ConnectionClosed", source: "downstream" });
    expect(session.outcome).toEqual({ status: 499, sent: 0, how: "client-left" });
    await (await origin.connection()).whenEnded();
  });

  test("that is malformed is answered and told to logging", async () => {
    await using origin = await answering(OK);
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const got = await client.request({ host: "other" });
    expect(got.status).toBe(400);
    expect(new Map(got.fields).get("proxy-status")).toBe("sluice;error=http_request_error");
    const { error } = await proxy.whenFinished();
    expect(error?.message).toContain(":authority and Host that differ");
    // The connection, and its other streams, are none the worse for it.
    expect((await client.request()).status).toBe(200);
  });

  test("slow upstreams make the client wait, and nothing is lost", async () => {
    const body = patternBytes(3_000_000);
    const { opened, open } = gate();
    let length = 0;
    await using origin = await nodeOrigin((request, response) => {
      if (request.method === "GET") {
        response.end();
        return;
      }
      request.pause();
      void opened.then(() => request.resume());
      request.on("data", (chunk: Buffer) => {
        expect(chunk.equals(body.subarray(length, length + chunk.length))).toBe(true);
        length += chunk.length;
      });
      request.on("end", () => response.end(String(length)));
    });
    await using proxy = await start({ origin }, { streamWindowBytes: 65_536, connectionWindowBytes: 65_535 });
    await using client = await Http2Client.connect(proxy);
    const stream = client.open({ ":method": "POST" });
    const got = collect(stream);
    let taken = false;
    stream.end(body, () => (taken = true));
    for (let round = 0; round < 5; round++) await client.request();
    expect(taken).toBe(false);
    open();
    expect((await got).body.toString()).toBe("3000000");
  }, 20_000);
});

describe("a response to HTTP/2", () => {
  test("has the origin's fields but those of its connection, and its trailers", async () => {
    await using origin = await answering(
      "HTTP/1.1 200 OK\r\nX-B: 1\r\nConnection: X-C\r\nX-C: 2\r\nKeep-Alive: timeout=5\r\nX-B: 3\r\nDate: now\r\n",
      "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX-T: 1\r\nContent-Length: 5\r\n\r\n",
    );
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const got = await client.request();
    expect(got.fields).toEqual([
      ["x-b", "1"],
      ["x-b", "3"],
      ["date", "now"],
    ]);
    expect([got.body.toString(), got.trailers, got.code]).toEqual(["abc", [["x-t", "1"]], 0]);
  });

  test("has interim heads before it", async () => {
    await using origin = await answering("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK);
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    expect(await client.request()).toMatchObject({ status: 200, interim: [103] });
  });

  test.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "5"],
    ["GET", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", undefined],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\n", undefined],
  ])("to %s of %j has no body", async (method, answer, length) => {
    await using origin = await answering(answer);
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const got = await client.request({ ":method": method });
    expect([got.body.length, got.code, new Map(got.fields).get("content-length")]).toEqual([0, 0, length]);
    expect(proxy.finished[0]!.error).toBeUndefined();
  });

  test.each([
    ["of a length", "Content-Length: 10\r\n\r\nhello"],
    ["in chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
  ])("%s that the upstream cuts is reset, behind what came of it", async (_, text) => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      await connection.sent(`HTTP/1.1 200 OK\r\n${text}`);
      await new Promise((resolve) => setImmediate(resolve));
      connection.close();
    });
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const got = await client.request();
    expect([got.status, got.body.toString(), got.code]).toEqual([200, "hello", 2]);
    expect((await proxy.whenFinished()).error).toMatchObject({ source: "upstream", type: "ConnectionClosed" });
  });

  test("of an upstream that is not there is a 502 that says so", async () => {
    const origin = { address: await refusedAddress() };
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const got = await client.request();
    expect([got.status, new Map(got.fields).get("proxy-status")]).toEqual([502, "sluice;error=connection_refused"]);
    expect((await client.request()).status).toBe(502);
    expect(proxy.service.connectionCount).toBe(1);
  });

  test("that comes before the upload ended is whole, and stops the upload", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    });
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const stream = client.open({ ":method": "POST" });
    const got = collect(stream);
    stream.write(Buffer.alloc(1000));
    const { status, body, code } = await got;
    expect([status, body.toString(), code]).toEqual([413, "no", 0]);
  });

  test("large ones pass whole through body filters, at the client's pace", async () => {
    const body = patternBytes(2_000_000);
    await using origin = await nodeOrigin((_request, response) => response.end(body));
    await using proxy = await start({ origin, responseBodyFilter: () => undefined });
    await using client = await Http2Client.connect(proxy, { initialWindowSize: 10_000 });
    const [first, second] = await Promise.all([client.request(), client.request()]);
    expect([first.body.equals(body), second.body.equals(body), first.code]).toEqual([true, true, 0]);
  });

  test("whose body filter fails at the end shows to be cut, though all bytes of its length were there", async () => {
    await using origin = await answering(OK);
    await using proxy = await start({
      origin,
      responseBodyFilter(_session, _piece, end) {
        if (end) throw new Error("broken");
      },
    });
    await using client = await Http2Client.connect(proxy);
    expect((await client.request()).code).toBe(2);
  });
});

describe("tunnels over HTTP/2", () => {
  test("a WebSocket reaches an origin of HTTP/1 (RFC 8441)", async () => {
    const http = createServer();
    const sockets = new WebSocketServer({ server: http, path: "/chat" });
    sockets.on("connection", (socket) =>
      socket.on("message", (data: Buffer) => socket.send(`echo ${data.toString()}`)),
    );
    await once(http.listen(0, "127.0.0.1"), "listening");
    const origin = { address: `127.0.0.1:${(http.address() as AddressInfo).port}` };
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const stream = client.open({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": "/chat",
      "sec-websocket-version": "13",
    });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    expect([headers[":status"], headers["sec-websocket-accept"], headers["upgrade"]]).toEqual([
      200,
      undefined,
      undefined,
    ]);
    // A text frame "hi", masked with zeros (RFC 6455, section 5.2).
    stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
    const [frame] = (await once(stream, "data")) as [Buffer];
    expect(frame.subarray(2).toString()).toBe("echo hi");
    stream.end();
    stream.resume();
    await once(stream, "close");
    const { session } = await proxy.whenFinished();
    expect([session.responseStatus, session.wasUpgraded]).toEqual([101, true]);
    sockets.close();
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  });

  test("an origin that does not change the protocol: its answer passes, but a 2xx is a 502", async () => {
    await using origin = await nodeOrigin((request, response) => {
      response.statusCode = request.url === "/no" ? 404 : 200;
      response.end("plain");
    });
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    const ask = (path: string): Promise<{ status: number }> =>
      collect(client.open({ ":method": "CONNECT", ":protocol": "websocket", ":path": path }));
    expect((await ask("/no")).status).toBe(404);
    expect((await ask("/yes")).status).toBe(502);
  });

  test("CONNECT is refused unless it is allowed", async () => {
    await using origin = await answering(OK);
    await using proxy = await start({ origin });
    await using client = await Http2Client.connect(proxy);
    expect((await collect(client.open({ ":method": "CONNECT", ":authority": "a.test:443" }))).status).toBe(405);
  });
});

testWith("curl", "curl speaks HTTP/2 and HTTP/1 to the same port", async ({ curl }) => {
  await using origin = await nodeOrigin((request, response) => void request.pipe(response));
  await using proxy = await start({ origin });
  const ask = async (...args: string[]): Promise<string> =>
    (await run(curl, ["-s", "-w", " %{http_version} %{http_code}", ...args, `http://${proxy.address}/`])).stdout;
  expect(await ask("--http2-prior-knowledge", "-d", "hello")).toBe("hello 2 200");
  expect(await ask("--http1.1", "-d", "hello")).toBe("hello 1.1 200");
  expect(await ask("--http2-prior-knowledge", "-I")).toMatch(/^HTTP\/2 200 \r\n[^]* 2 200$/);
});

testWith("nghttp", "nghttp gets what it asks for", async ({ nghttp }) => {
  await using origin = await nodeOrigin((_request, response) => response.end("a".repeat(100_000)));
  await using proxy = await start({ origin });
  const { stdout } = await run(nghttp, ["-m", "3", `http://${proxy.address}/`], { maxBuffer: 1_000_000 });
  expect(stdout).toBe("a".repeat(300_000));
});

testWith(
  "h2load",
  "h2load: every request is answered and told to logging once",
  async ({ h2load }) => {
    await using origin = await nodeOrigin((_request, response) => response.end("hello"));
    await using proxy = await start({ origin, requestFilter: () => undefined });
    const { stdout } = await run(h2load, ["-n", "2000", "-c", "5", "-m", "20", `http://${proxy.address}/`]);
    expect(stdout).toContain("2000 succeeded, 0 failed, 0 errored, 0 timeout");
    expect(proxy.finished).toHaveLength(2000);
  },
  30_000,
);

test("a service that stops finishes what HTTP/2 clients have begun", async () => {
  const { opened, open } = gate();
  await using origin = await nodeOrigin((_request, response) => void opened.then(() => response.end("late")));
  await using proxy = await start({ origin });
  await using client = await Http2Client.connect(proxy);
  const asked = client.request();
  const goaway = once(client.session, "goaway");
  while (proxy.begun === 0) await new Promise((resolve) => setImmediate(resolve));
  const stopped = proxy.service.stop(new AbortController().signal);
  await goaway;
  open();
  expect((await asked).body.toString()).toBe("late");
  await stopped;
});
