import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { connect, createServer, type ClientHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { fieldBlock } from "./fields.ts";
import { learnFrom, requestNatively } from "./native-request.ts";

const GET = [":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"];
const POST = GET.with(1, "POST");

/** A server of Node's, and a session with it. */
async function session(onStream: (stream: ServerHttp2Stream) => void): Promise<ClientHttp2Session & AsyncDisposable> {
  const server = createServer().on("stream", onStream).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(client, "connect");
  return Object.assign(client, {
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.close();
      await once(server, "close");
    },
  });
}

async function answerTo(stream: ReturnType<ClientHttp2Session["request"]>): Promise<unknown[]> {
  const [response] = (await once(stream, "response")) as [Record<string, unknown>];
  return [response[":status"], response["x-a"], await text(stream)];
}

test("this Node lets streams be opened by nghttp2 directly, once it has opened one itself", async () => {
  let seen: unknown;
  await using client = await session((stream) => {
    stream.on("trailers", (trailers) => (seen = trailers["x-t"])).on("error", () => undefined);
    stream.respond([":status", "200", "x-a", "1", "x-a", "2"]);
    stream.pipe(stream);
  });
  const first = client.request(GET);
  learnFrom(client, first);
  expect(await answerTo(first)).toEqual([200, "1, 2", ""]);
  const get = requestNatively(client, fieldBlock(GET), 4, true, false)!;
  expect(await answerTo(get)).toEqual([200, "1, 2", ""]);
  const post = requestNatively(client, fieldBlock(POST), 4, false, true)!;
  post.on("wantTrailers", () => post.sendTrailers({ "x-t": "1" })).end("abc");
  expect(await answerTo(post)).toEqual([200, "1, 2", "abc"]);
  expect(seen).toBe("1");
});

test("while somebody listens to what Node tells of requests, they go by Node", async () => {
  const listener = (): void => undefined;
  subscribe("http2.client.stream.start", listener);
  await using client = await session((stream) => stream.respond({}, { endStream: true }));
  const first = client.request(GET);
  learnFrom(client, first);
  expect(requestNatively(client, fieldBlock(GET), 4, true, false)).toBeUndefined();
  unsubscribe("http2.client.stream.start", listener);
  await text(first);
});
