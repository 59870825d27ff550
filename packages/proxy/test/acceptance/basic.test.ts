import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { Server } from "@sluice/core";
import { httpProxy } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { patternBytes, type Message } from "../support/message.ts";
import { Origin } from "../support/origin.ts";
import { gate, get, type TestProxy } from "../support/proxy.ts";
import { ReferenceOrigin } from "../support/reference-origin.ts";
import { startTriggerProxy, triggerApp, type TriggerCtx } from "../support/trigger-app.ts";
import { Wire } from "../support/wire.ts";

// What Pingora's own test_basic.rs shows of its proxy, shown of ours; in brackets, the name that each test has there.

const BOUND_TO = { client_bind_to_ipv4: ["127.0.0.2"] };

function addressesOf({ field }: Message): Record<string, string | undefined> {
  return {
    client: field("x-client-addr"),
    server: field("x-server-addr"),
    upstreamClient: field("x-upstream-client-addr"),
    upstreamServer: field("x-upstream-server-addr"),
  };
}

test("a response comes whole, and hooks know both ends of both connections [test_simple_proxy]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin, {}, BOUND_TO);
  const client = await proxy.send(get());
  const answer = await client.message();
  expect([answer.status, answer.field("content-length"), answer.body.toString()]).toEqual([
    200,
    "13",
    "Hello World!\n",
  ]);
  expect(addressesOf(answer)).toEqual({
    client: `127.0.0.1:${client.socket.localPort}`,
    server: proxy.address,
    upstreamClient: expect.stringMatching(/^127\.0\.0\.2:[1-9]\d*$/),
    upstreamServer: origin.address,
  });
});

test("a client on a Unix socket is served like others [test_simple_proxy_uds]", async () => {
  await using origin = await ReferenceOrigin.start();
  const folder = await mkdtemp(path.join(tmpdir(), "sluice-"));
  const file = path.join(folder, "proxy.sock");
  const server = new Server(BOUND_TO);
  await server.addService(httpProxy(server, triggerApp(origin)).listenUnix(file)).start();
  try {
    await using client = new Wire(connect({ path: file, allowHalfOpen: true }));
    const answer = await client.send(get()).message();
    expect([answer.status, answer.body.toString()]).toEqual([200, "Hello World!\n"]);
    expect(addressesOf(answer)).toEqual({
      client: "unset",
      server: `unix:${file}`,
      upstreamClient: expect.stringMatching(/^127\.0\.0\.2:[1-9]\d*$/),
      upstreamServer: origin.address,
    });
  } finally {
    await server.stop(0);
    await rm(folder, { recursive: true });
  }
});

test("an upstream on a Unix socket is asked like others [test_simple_proxy_uds_peer]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin, {}, BOUND_TO);
  const client = await proxy.send(get("/", "X-Uds-Peer: 1\r\n"));
  const answer = await client.message();
  expect([answer.status, answer.body.toString()]).toEqual([200, "Hello World!\n"]);
  expect(addressesOf(answer)).toEqual({
    client: `127.0.0.1:${client.socket.localPort}`,
    server: proxy.address,
    upstreamClient: "unset",
    upstreamServer: `unix:${origin.unixPath}`,
  });
});

/** A client whose upstream connection has served two requests, and will be dropped in the next. */
async function warm(proxy: TestProxy<TriggerCtx>, { secondPort }: ReferenceOrigin): Promise<Wire> {
  const client = await proxy.connect();
  const reused: (string | undefined)[] = [];
  for (let round = 0; round < 2; round++) {
    client.send(get("/", `X-Port: ${secondPort}\r\n`));
    reused.push((await client.message()).field("x-conn-reuse"));
  }
  expect(reused).toEqual([undefined, "1"]);
  return client;
}

function post({ secondPort }: ReferenceOrigin, body: Buffer | string): [head: string, body: Buffer | string] {
  const length = body.length === 0 ? "" : `Content-Length: ${body.length}\r\n`;
  return [`POST /bad_lb HTTP/1.1\r\nHost: test\r\nX-Port: ${secondPort}\r\n${length}\r\n`, body];
}

describe("a reused connection that the origin drops when it has the request [test_dropped_conn]", () => {
  test("GET is sent again on a fresh one [get]", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const client = await warm(proxy, origin);
    client.send(get("/bad_lb", `X-Port: ${origin.secondPort}\r\n`));
    const answer = await client.message();
    expect([answer.status, answer.body.toString(), answer.field("x-conn-reuse")]).toEqual([200, "dog!\n", undefined]);
    expect(origin.seen).toEqual(["GET /", "GET /", "GET /bad_lb", "GET /bad_lb"]);
  });

  describe.each([
    ["no body", "", "post_empty_body"],
    ["a body", "cat!", "post_body"],
    ["a body of 65,536 bytes", patternBytes(65_536), "post_body, at the limit"],
  ])("POST with %s", (_what, body, name) => {
    test(`is not sent again: it may have been processed; 502 (Pingora: sent again) [${name}]`, async () => {
      await using origin = await ReferenceOrigin.start();
      await using proxy = await startTriggerProxy(origin);
      const client = await warm(proxy, origin);
      client.send(...post(origin, body));
      expect((await client.message()).status).toBe(502);
      expect(origin.seen.slice(2)).toEqual(["POST /bad_lb"]);
    });

    test(`is sent again with all of it if the app says as Pingora does [${name}]`, async () => {
      await using origin = await ReferenceOrigin.start();
      await using proxy = await startTriggerProxy(origin, { resendAnyMethod: true });
      const client = await warm(proxy, origin);
      client.send(...post(origin, body));
      const answer = await client.message();
      const expected = Buffer.concat([Buffer.from(body === "" ? "dog!" : body), Buffer.from("\n")]);
      expect([answer.status, answer.body.equals(expected)]).toEqual([200, true]);
      expect(origin.seen.slice(2)).toEqual(["POST /bad_lb", "POST /bad_lb"]);
    });
  });

  test("POST of 65,537 bytes is not sent again, whatever the app says: not all of it is kept [post_body_over]", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin, { resendAnyMethod: true });
    const client = await warm(proxy, origin);
    client.send(...post(origin, patternBytes(65_537)));
    expect((await client.message()).status).toBe(502);
    expect(origin.seen.slice(2)).toEqual(["POST /bad_lb"]);
  });
});

describe("a response of 32 equal bytes, for a client that accepts gzip, is compressed", () => {
  test.each([
    ["before the filters [test_upstream_compression]", ""],
    ["after the filters [test_downstream_compression]", "X-Downstream-Compression: 1\r\n"],
  ])("%s", async (_where, fields) => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const client = await proxy.send(get("/no_compression", `Accept-Encoding: gzip\r\n${fields}`));
    const answer = await client.message();
    expect([answer.status, answer.field("content-encoding")]).toEqual([200, "gzip"]);
    expect(answer.body.length).toBeLessThan(32);
    expect(gunzipSync(answer.body).toString()).toBe("B".repeat(32));
  });
});

test("a connection is kept, without a word, until the client says close [test_connect_close]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin);
  const client = await proxy.send(get());
  const kept = await client.message();
  // Pingora says keep-alive, which HTTP/1.1 means anyway (RFC 9112, section 9.3).
  const said = [kept.status, kept.field("connection"), kept.field("content-length"), kept.body.toString()];
  expect(said).toEqual([200, undefined, "13", "Hello World!\n"]);
  client.send(get("/", "Connection: close\r\n"));
  const last = await client.message();
  expect([last.status, last.field("connection"), last.body.toString()]).toEqual([200, "close", "Hello World!\n"]);
  await client.whenEnded();
});

test("CONNECT is answered with 405, and nothing of it goes up [test_connect_proxying_disallowed_h1]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin);
  const client = await proxy.send("CONNECT pingora.org:443 HTTP/1.1\r\nHost: pingora.org:443\r\n\r\n");
  expect((await client.message()).startLine).toMatch(/^HTTP\/1\.1 405 /);
  expect(origin.seen).toEqual([]);
});

test("CONNECT goes up if the options allow it; a 2xx has no length, and what follows is raw (Pingora: a message like others) [test_connect_proxying_allowed_h1]", async () => {
  await using origin = await ReferenceOrigin.start();
  const heads: string[] = [];
  await using upstream = await Origin.start(async (connection) => {
    heads.push(await connection.upTo("\r\n\r\n"));
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").end();
  });
  await using proxy = await startTriggerProxy(origin, { allowConnect: true, via: false });
  const fields = `Host: pingora.org:443\r\nX-Port: ${upstream.address.split(":")[1]}\r\n`;
  const client = await proxy.send(`CONNECT pingora.org:443 HTTP/1.1\r\n${fields}\r\n`);
  const head = await client.upTo("\r\n\r\n");
  expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(head).not.toMatch(/\r\n(Content-Length|Transfer-Encoding):/i);
  expect((await client.rest()).toString()).toBe("ok");
  client.end();
  expect((await proxy.whenFinished()).error).toBeUndefined();
  expect(heads).toEqual([`CONNECT pingora.org:443 HTTP/1.1\r\n${fields}\r\n`]);
});

test("an origin that dies before its head is answered for with a whole response [test_error_before_headers_sent]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin);
  const client = await proxy.send(get("/sleep/", "X-Set-Sleep: 0\r\nX-Abort: true\r\n"));
  const { status, field } = await client.message();
  expect([status, field("content-length"), field("connection")]).toEqual([502, "0", "close"]);
  expect((await client.rest()).length).toBe(0);
  expect(client.error).toBeUndefined();
});

test("an origin that dies in its body has the response cut after what came [test_error_after_headers_sent_rst_received]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin);
  const client = await proxy.send(get("/connection_die/"));
  // HTTP/2 says so by RST_STREAM; in HTTP/1.1 it is the last chunk that is missing.
  expect((await client.rest()).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n5\r\nAAAAA\r\n$/s);
});

test("a 103 arrives before its final response is there [test_103]", async () => {
  const { opened, open } = gate();
  await using origin = await ReferenceOrigin.start({ wait: () => opened });
  await using proxy = await startTriggerProxy(origin);
  const client = await proxy.send(get("/103"));
  const hints = await client.message();
  expect([hints.status, hints.field("link")]).toEqual([103, "<https://foo.bar>; rel=preconnect"]);
  open();
  const { status, field, body } = await client.message();
  expect([status, field("content-length"), body.toString()]).toEqual([200, "6", "123456"]);
});

test("an origin that dies after a 103 is answered for with 502 [test_103_die]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin);
  const client = await proxy.send(get("/103-die"));
  expect([(await client.message()).status, (await client.message()).status]).toEqual([103, 502]);
});
