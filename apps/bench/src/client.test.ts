import { once } from "node:events";
import type { RequestListener } from "node:http";
import { createServer, createSecureServer } from "node:http2";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { buffer } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { testWith } from "../../../test/programs.ts";
import { openClient } from "./client.ts";
import { testCertificate } from "./test-certificate.ts";
import type { Wire } from "./wire.ts";
import type { Request } from "./workload.ts";

const REQUEST: Request = {
  method: "POST",
  path: "/echo?1",
  fields: [
    ["Host", "shop.example.org"],
    ["Connection", "keep-alive"],
    ["X-Mark", "a"],
  ],
  chunkedBody: Buffer.from([0, 255, 13, 10]),
};

/** Sends back the body, and in fields what it saw of the request. */
const echo: RequestListener = (request, response) => {
  void buffer(request).then((body) => {
    response.setHeader(
      "x-seen",
      `${request.httpVersion} ${request.method} ${request.url} ${String(request.headers["x-mark"])}`,
    );
    response.end(body);
  });
};

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function expectEcho(port: number, wire: Wire, version: string, ca = ""): Promise<void> {
  using client = openClient({ port, wire, ca });
  for (let count = 0; count < 2; count++) {
    const { status, headers, content } = await client.send(REQUEST);
    expect({ status, seen: headers["x-seen"] }).toEqual({ status: 200, seen: [`${version} POST /echo?1 a`] });
    expect(content).toEqual(REQUEST.chunkedBody);
  }
}

test("speaks HTTP/1 and HTTP/2 without TLS", async () => {
  await expectEcho(await listen(createHttpServer(echo)), { client: "h1", tls: false, origin: "h1" }, "1.1");
  const http2 = createServer(echo as never);
  await expectEcho(await listen(http2), { client: "h2", tls: false, origin: "h1" }, "2.0");
});

testWith("openssl", "speaks HTTP/1 and HTTP/2 by TLS", async () => {
  const { cert, key } = await testCertificate();
  const http1 = createHttpsServer({ cert, key }, echo);
  await expectEcho(await listen(http1), { client: "h1", tls: true, origin: "h1" }, "1.1", cert);
  const http2 = createSecureServer({ cert, key }, echo as never);
  await expectEcho(await listen(http2), { client: "h2", tls: true, origin: "h1" }, "2.0", cert);
});

testWith("openssl", "verifies the certificate", async () => {
  const { cert, key } = await testCertificate();
  const other = await testCertificate();
  const servers = [createHttpsServer({ cert, key }, echo), createSecureServer({ cert, key }, echo as never)];
  for (const [index, version] of (["h1", "h2"] as const).entries()) {
    const port = await listen(servers[index]!);
    using client = openClient({ port, wire: { client: version, tls: true, origin: "h1" }, ca: other.cert });
    await expect(client.send(REQUEST)).rejects.toThrow("self-signed certificate");
  }
});
