import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type ClientHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { connect as connectTls } from "node:tls";
import type { TlsListenSettings } from "@sluice/core";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testWith } from "../../../test/programs.ts";
import { run } from "./support/programs.ts";
import { TlsProxy, type ProxySetup } from "./support/proxy.ts";

const ca = certificateAuthority("HTTP/2");
const listen = { certificates: [ca.issue({ names: ["a.test"] })] };
const TEXT = "0123456789".repeat(20_000);

const origin = createServer((request, response) => {
  if (request.method === "POST") request.pipe(response);
  else response.end(request.url === "/large" ? TEXT : "hello\n");
});
let originAddress = "";

beforeAll(async () => {
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  originAddress = `127.0.0.1:${(origin.address() as AddressInfo).port}`;
});

afterAll(() => void origin.close());

function start(setup: ProxySetup = {}): Promise<TlsProxy> {
  return TlsProxy.start({ origin: originAddress, listen, ...setup });
}

function client(proxy: TlsProxy, protocols = ["h2"]): ClientHttp2Session {
  const options = { port: proxy.port, host: "127.0.0.1", ca: ca.cert, servername: "a.test", ALPNProtocols: protocols };
  const session = connect("https://a.test", { createConnection: () => connectTls(options) });
  session.on("error", () => undefined);
  return session;
}

async function ask(session: ClientHttp2Session, path: string, body?: string): Promise<string> {
  const stream = session.request({ ":path": path, ":method": body === undefined ? "GET" : "POST" });
  stream.setEncoding("latin1");
  let text = "";
  stream.on("data", (chunk: string) => (text += chunk));
  stream.end(body);
  await once(stream, "close");
  return text;
}

test("is what a client that can is served by, many streams at a time, bodies of any size both ways", async () => {
  const seen = new Set<string>();
  await using proxy = await start({
    app: {
      requestFilter(session) {
        seen.add(`${session.request.version} ${session.digest.tls?.alpn} ${session.request.scheme}`);
      },
    },
  });
  const session = client(proxy, ["h2", "http/1.1"]);
  const asked = Array.from({ length: 40 }, (_, index) => {
    if (index % 3 === 0) return ask(session, "/");
    return index % 3 === 1 ? ask(session, "/large") : ask(session, "/", TEXT);
  });
  const texts = await Promise.all(asked);
  expect(texts.map((text) => (text === TEXT ? "large" : text))).toEqual(
    texts.map((_, index) => (index % 3 === 0 ? "hello\n" : "large")),
  );
  expect([...seen]).toEqual(["2 h2 https"]);
  expect(proxy.service.connectionCount).toBe(1);
  session.close();
});

test("ends with the service: what was begun is finished", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  await using proxy = await start({
    app: {
      async requestFilter() {
        begin();
        await gate;
      },
    },
  });
  const session = client(proxy);
  const asked = ask(session, "/large");
  await begun;
  const goaway = once(session, "goaway");
  const stopped = proxy.service.stop(new AbortController().signal);
  expect((await goaway).slice(0, 2)).toEqual([0, 2 ** 31 - 1]);
  open();
  expect(await asked).toBe(TEXT);
  await stopped;
});

test.each([
  ["is not spoken where the listener does not offer it", ["http/1.1"], "http/1.1"],
  // Who builds settings from what may be missing has it there, and missing.
  ["is spoken where the listener's alpn is undefined", undefined, "h2"],
])("%s", async (_, alpn, chosen) => {
  await using proxy = await start({ listen: { ...listen, alpn } as TlsListenSettings });
  const socket = connectTls({
    port: proxy.port,
    host: "127.0.0.1",
    ca: ca.cert,
    servername: "a.test",
    ALPNProtocols: ["h2", "http/1.1"],
  });
  await once(socket, "secureConnect");
  expect(socket.alpnProtocol).toBe(chosen);
  socket.destroy();
});

testWith(
  "h2load",
  "h2load over TLS: every request is answered",
  async ({ h2load }) => {
    await using proxy = await start();
    const ran = await run(h2load, ["-n", "1000", "-c", "5", "-m", "20", `https://127.0.0.1:${proxy.port}/large`]);
    expect(ran.stdout).toContain("1000 succeeded, 0 failed, 0 errored, 0 timeout");
  },
  30_000,
);
