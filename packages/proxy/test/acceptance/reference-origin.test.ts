import { connect } from "node:net";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readMessage, type Message } from "../support/message.ts";
import { gate, get } from "../support/proxy.ts";
import { ReferenceOrigin } from "../support/reference-origin.ts";
import { Wire } from "../support/wire.ts";

// What the other tests of this folder stand on, asked without a proxy.

function connectTo(to: string | number): Wire {
  return new Wire(typeof to === "string" ? connect(to) : connect(to, "127.0.0.1"));
}

test.each(["first port", "second port", "Unix socket"])("greets in 13 bytes on its %s", async (where) => {
  // Pingora: test_origin_alive.
  await using origin = await ReferenceOrigin.start();
  const { port, secondPort, unixPath } = origin;
  await using client = connectTo(where === "first port" ? port : where === "second port" ? secondPort : unixPath);
  for (let round = 0; round < 2; round++) {
    client.send(get());
    const { status, body, field } = await client.message();
    const answered = [status, field("content-length"), field("origin-http2"), field("connection"), body.toString()];
    expect(answered).toEqual([200, "13", "", "keep-alive", "Hello World!\n"]);
  }
  expect(origin.seen).toEqual(["GET /", "GET /"]);
});

type Case = [target: string, fields: string, body: string, expected: (answer: Message) => unknown, wanted: unknown];

const bodyOf = ({ status, body }: Message): unknown => [status, body.toString()];
const framingOf = ({ field, body }: Message): unknown => [
  field("content-length"),
  field("transfer-encoding"),
  body.toString(),
];

const CASES: Case[] = [
  ["/nowhere", "", "", ({ status }) => status, 404],
  ["/unique/7/", "", "", bodyOf, [200, "Hello World!\n"]],
  ["/unique/7/test2", "", "", bodyOf, [200, "hello world"]],
  ["/test", "", "", bodyOf, [200, ""]],
  ["/test2", "", "", framingOf, ["11", undefined, "hello world"]],
  ["/test3", "", "", framingOf, [undefined, "chunked", "hello world"]],
  ["/test4", "", "", bodyOf, [200, ""]],
  ["/brotli", "Accept-Encoding: br\r\n", "", ({ body }) => brotliDecompressSync(body).toString(), "hello"],
  ["/brotli", "", "", ({ status }) => status, 400],
  ["/gzip/", "Accept-Encoding: gzip\r\n", "", ({ body }) => gunzipSync(body).toString(), "Hello World!\n"],
  ["/gzip/", "Accept-Encoding: br, x\r\n", "", ({ field }) => field("received-accept-encoding"), "br, x"],
  ["/client_ip", "", "", ({ field }) => field("x-client-ip"), "127.0.0.1"],
  ["/bad_lb", "", "", bodyOf, [200, "dog!\n"]],
  ["/bad_lb", "", "cat!", bodyOf, [200, "cat!\n"]],
  ["/duplex/", "", "unread", bodyOf, [200, "A".repeat(320)]],
  ["/upload/", "", "read", bodyOf, [200, "A".repeat(320)]],
  ["/download/", "", "", ({ field, body }) => [field("content-length"), body.length], ["4194304", 4_194_304]],
  ["/tls_verify", "", "", ({ field }) => field("connection"), "close"],
  ["/noreuse", "", "", ({ field, body }) => [field("connection"), body.toString()], ["close", "hello world"]],
  ["/set_cookie", "", "", ({ field }) => field("set-cookie"), "chocolate chip"],
  ["/chunked", "", "read", framingOf, [undefined, "chunked", "A".repeat(64)]],
  ["/echo", "", "to and fro", bodyOf, [200, "to and fro"]],
  ["/no_compression", "", "", framingOf, [undefined, "chunked", "B".repeat(32)]],
  ["/file_maker", "", "", ({ body }) => body.length, 1024],
  ["/file_maker", "X-Set-Size: 7\r\n", "", bodyOf, [200, "AAAAAAA"]],
  ["/sleep", "", "", framingOf, [undefined, "chunked", "hello world"]],
  ["/sleep", "X-Set-Content-Length: 1\r\n", "", framingOf, ["11", undefined, "hello world"]],
  ["/sleep", "X-Error-Header: 1\r\n", "", bodyOf, [500, "hello world"]],
  ["/set_content_length", "X-Set-Content-Length: 5\r\n", "", ({ field }) => field("content-length"), "5"],
  ["/slow_body", "X-Set-Hello: moon\r\n", "", bodyOf, [200, "hello moon!"]],
  ["/content_type", "Set-Content-Type: a/b\r\n", "", ({ field }) => field("content-type"), "a/b"],
];

test.each(CASES)("answers %s (%j, body %j)", async (target, fields, body, of, wanted) => {
  await using origin = await ReferenceOrigin.start();
  await using client = connectTo(origin.port);
  const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
  client.send(get(target, fields + length), body);
  expect(of(await client.message())).toEqual(wanted);
});

describe("a route that counts", () => {
  test("counts the hits of each id", async () => {
    await using origin = await ReferenceOrigin.start();
    await using client = connectTo(origin.port);
    client.send(get("/hitcounted/a/test2"), get("/hitcounted/a/"), get("/read_hit_count/a"), get("/read_hit_count/b"));
    const bodies: string[] = [];
    for (let answer = 0; answer < 4; answer++) bodies.push((await client.message()).body.toString());
    expect(bodies).toEqual(["hello world", "Hello World!\n", "2", "0"]);
  });
});

describe("a route that waits", () => {
  test("asks for as many seconds as it is told to, and goes on when it may", async () => {
    const asked: number[] = [];
    const { opened, open } = gate();
    await using origin = await ReferenceOrigin.start({
      wait(seconds) {
        asked.push(seconds);
        return asked.length < 2 ? Promise.resolve() : opened;
      },
    });
    await using client = connectTo(origin.port);
    client.send(get("/sleep", "X-Set-Sleep: 3\r\nX-Set-Body-Sleep: 4\r\n"));
    await client.upTo("hello ");
    expect([asked, client.peek()]).toEqual([[3, 4], "\r\n"]);
    open();
    await client.upTo("world");
  });
});

describe("a route that dies", () => {
  test.each([
    ["/sleep", "X-Abort: 1\r\n", /^$/],
    ["/sleep", "X-Abort-Body: 1\r\n", /\r\n\r\n6\r\nhello \r\n$/],
    ["/connection_die", "", /\r\n\r\n5\r\nAAAAA\r\n$/],
    ["/103-die", "", /^HTTP\/1\.1 103 Early Hints\r\nLink: <https:\/\/foo\.bar>; rel=preconnect\r\n\r\n$/],
    ["/upload_connection_die/", "", /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/],
  ])("is %s (%j)", async (target, fields, received) => {
    await using origin = await ReferenceOrigin.start();
    await using client = connectTo(origin.port);
    client.send(get(target, fields));
    expect((await client.rest()).toString()).toMatch(received);
  });

  test("is /bad_lb for the second request on a connection", async () => {
    await using origin = await ReferenceOrigin.start();
    await using client = connectTo(origin.port);
    client.send(get("/bad_lb"));
    await client.message();
    client.send(get("/bad_lb"));
    expect((await client.rest()).length).toBe(0);
  });
});

describe("a route that changes the protocol", () => {
  const ASK = "Connection: upgrade\r\nUpgrade: websocket\r\n";

  test.each([
    ["/upgrade", "", "", "hello\n"],
    ["/upgrade_echo_body", "Content-Length: 3\r\n", "abc", "abc"],
    ["/", "X-Expected-Body-Len: 5\r\n", "abcde", "abcde"],
  ])("is %s (%j)", async (target, fields, bytes, received) => {
    await using origin = await ReferenceOrigin.start();
    await using client = connectTo(origin.upgradePort);
    client.send(get(target, ASK + fields), bytes);
    expect((await readMessage(client, false)).status).toBe(101);
    expect((await client.rest()).toString()).toBe(received);
  });
});

test("sends its large download by pieces, as they are taken", async () => {
  await using origin = await ReferenceOrigin.start();
  await using client = connectTo(origin.port);
  client.send(get("/download_large/", "Connection: close\r\n"));
  const head = await client.upTo("\r\n\r\n");
  await client.whenEnded();
  expect(client.receivedBytes - head.length).toBe(134_217_728);
});
