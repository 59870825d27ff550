import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { get } from "node:https";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { ioUring } from "@sluice/linux";
import { selfSignedCertificate } from "@sluice/tls-openssl/testing";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { Origin } from "./origin.ts";
import { tlsCall } from "./tls-call.ts";

function unavailable(): boolean {
  try {
    ioUring();
    return false;
  } catch {
    return true;
  }
}

const LARGE = Buffer.alloc(20_000_000, "0123456789abcdef\n");
const certificate = selfSignedCertificate({ names: ["a.test"] });

let folder: string;
let origin: Origin;
let tls: string;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "gateway-io-uring-"));
  origin = await Origin.start((request, response) => response.end(request.url === "/large" ? LARGE : request.url));
  const files = { cert: path.join(folder, "a.pem"), key: path.join(folder, "a.key") };
  writeFileSync(files.cert, certificate.cert);
  writeFileSync(files.key, certificate.key);
  tls = `{ certificates: [{ cert: "${files.cert}", key: "${files.key}" }] }`;
});
afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function start(threads: number, more: string): Promise<GatewayProcess> {
  const yaml = `threads: ${threads}
listeners: [{ address: 127.0.0.1:0${more} }]
io_uring: true
upstreams: { a: { servers: ["${origin.address}"] } }
routes: [{ upstream: a }]
`;
  return GatewayProcess.start(folder, yaml);
}

describe.skipIf(unavailable())("io_uring: true", () => {
  test("in one process and in several", async () => {
    for (const threads of [1, 2]) {
      await using gateway = await start(threads, "");
      const url = `http://${gateway.addresses[0]!}`;
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => fetch(`${url}/${i}`)));
      for (const [i, answer] of answers.entries()) expect(await answer.text()).toBe(`/${i}`);
    }
  });

  test.each([1, 2])("with TLS, by HTTP/1.1 and HTTP/2, in %i process(es)", async (threads) => {
    await using gateway = await start(threads, `, tls: ${tls}`);
    const [address = ""] = gateway.addresses;
    const client = { name: "a.test", ca: certificate.cert };
    const calls = Array.from({ length: 20 }, (_, i) =>
      tlsCall(address, `/${i}`, i % 2 === 0 ? client : { ...client, alpn: "h2" }),
    );
    for (const [i, answer] of (await Promise.all(calls)).entries())
      expect(answer).toMatchObject({ status: 200, body: `/${i}`, alpn: i % 2 === 0 ? "http/1.1" : "h2" });
  });

  test.each([1, 2])(
    "with TLS, who is in the middle of a download when it stops gets all, of %i process(es)",
    async (threads) => {
      await using gateway = await start(threads, `, tls: ${tls}`);
      const [address = ""] = gateway.addresses;
      const options = { ca: certificate.cert, servername: "a.test" };
      const [one] = (await once(get(`https://${address}/large`, { ...options, agent: false }), "response")) as [
        IncomingMessage,
      ];
      const session = connectHttp2(`https://${address}`, options);
      onTestFinished(() => session.destroy());
      const two = session.request({ ":path": "/large" });
      await once(two, "response");
      gateway.signal("SIGTERM");
      await gateway.until(() => gateway.stderr.includes("SIGTERM"));
      for (const body of [await bytesOf(one), await bytesOf(two)]) expect(body.equals(LARGE)).toBe(true);
      session.close();
      expect(await gateway.exited).toBe(0);
    },
  );
});

async function bytesOf(body: Readable): Promise<Buffer> {
  return Buffer.concat((await body.toArray()) as Buffer[]);
}
