import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TLSSocket } from "node:tls";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { httpsCall } from "./support/https-call.ts";
import { NOBODY } from "./support/origin.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), "sluice-mutual-tls-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const front = certificateAuthority("Front");
const clients = certificateAuthority("Clients");
const inner = certificateAuthority("Inner");

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
}

/** An upstream that lets in whom the inner authority has given a certificate, and tells who that is and what it was told. */
async function startUpstream(): Promise<{ address: string } & AsyncDisposable> {
  const certificate = inner.issue({ names: ["api.test"] });
  const options = { ...certificate, ca: inner.cert, requestCert: true, rejectUnauthorized: true };
  const server = createServer(options, (request, response) => {
    const proxy = (request.socket as TLSSocket).getPeerCertificate().subject.CN;
    const shown = Buffer.from(String(request.headers["client-cert"]).slice(1, -1), "base64");
    const chain = String(request.headers["client-cert-chain"]);
    response.end(JSON.stringify([proxy, request.headers["x-client"], shown.length > 0, chain]));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close().closeAllConnections();
      await once(server, "close");
    },
  };
}

test("clients and the proxy are known by their certificates, and what a client claims to be does not pass", async () => {
  const server = front.issue({ names: ["localhost"] });
  const own = inner.issue({ usage: "client", commonName: "the proxy" });
  write({ "server.pem": server.cert, "server.key": server.key, "clients-ca.pem": clients.cert });
  write({ "own.pem": own.cert, "own.key": own.key, "upstream-ca.pem": inner.cert });
  await using upstream = await startUpstream();
  await using example = await Example.start("mutual-tls", "LISTEN", upstream.address, "api.test", folder);
  const [address] = example.addresses as [string];

  const client = clients.issue({ usage: "client", commonName: "Zoë" });
  const claims = { "x-client": "CN=root", "client-cert": ":AAAA:", "client-cert-chain": ":AAAA:" };
  const answer = await httpsCall(address, "localhost", { ca: front.cert, ...client, headers: claims });
  expect(answer.status).toBe(200);
  expect(JSON.parse(answer.body)).toEqual(["the proxy", "CN=Zo%C3%AB", true, "undefined"]);

  // Told by an alert, or cut: either way nobody is let in.
  const outcome = (shown: object): Promise<unknown> =>
    httpsCall(address, "localhost", { ca: front.cert, ...shown }).catch((error: unknown) => error);
  expect(await outcome({})).toBeInstanceOf(Error);
  const stranger = certificateAuthority("Others").issue({ usage: "client", commonName: "stranger" });
  expect(await outcome(stranger)).toMatchObject({ status: 400 });
  for (const detail of ["cert-missing", "cert-unknown-issuer"]) {
    expect(JSON.parse(await example.line(new RegExp(`"detail":"${detail}"`)))).toMatchObject({
      msg: "TLS handshake failed",
    });
  }
  expect(await example.stop()).toBe(0);
});

test("without its files it says which is missing, and does not start", async () => {
  await using example = new Example("mutual-tls", ["127.0.0.1:0", NOBODY, "api.test", folder]);
  expect(await example.exited).toBe(1);
  expect(example.lines.join("\n")).toContain("upstream-ca.pem");
});

test("without arguments it says how it is used", async () => {
  await using example = new Example("mutual-tls", []);
  expect(await example.exited).toBe(2);
  expect(example.lines[0]).toMatch(/^usage: /);
});
