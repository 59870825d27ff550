import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { httpsCall } from "./support/https-call.ts";
import { Origin } from "./support/origin.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), "sluice-tls-termination-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const ca = certificateAuthority("Examples");

/** Writes a certificate for `name`; gives its files. */
function certificateFiles(name: string): [cert: string, key: string] {
  const { cert, key } = ca.issue({ names: [name] });
  const files: [string, string] = [path.join(folder, `${name}.pem`), path.join(folder, `${name}.key`)];
  writeFileSync(files[0], cert);
  writeFileSync(files[1], key);
  return files;
}

function startOrigin(): Promise<Origin> {
  return Origin.start((request, response) =>
    response.end(`${request.headers["x-forwarded-proto"] as string}, ${request.headers["x-tls"] as string}`),
  );
}

test("each name has its certificate, and the upstream learns what the client spoke", async () => {
  await using origin = await startOrigin();
  const files = [...certificateFiles("a.test"), ...certificateFiles("b.test")];
  await using example = await Example.start("tls-termination", "LISTEN", origin.address, ...files);
  const [address] = example.addresses as [string];
  for (const name of ["a.test", "b.test"]) {
    expect(await httpsCall(address, name, { ca: ca.cert, headers: { "x-forwarded-proto": "http" } })).toEqual({
      status: 200,
      body: `https, TLSv1.3 for ${name}`,
      names: `DNS:${name}`,
    });
  }
  // A name that none is for gets the first, and does not match.
  await expect(httpsCall(address, "c.test", { ca: ca.cert })).rejects.toMatchObject({
    code: "ERR_TLS_CERT_ALTNAME_INVALID",
  });
  expect(await example.stop()).toBe(0);
});

test("without files it has certificates of its own, and speaks HTTP/2", async () => {
  await using origin = await startOrigin();
  await using example = await Example.start("tls-termination", "LISTEN", origin.address);
  const options = { rejectUnauthorized: false, servername: "two.localhost" };
  const session = connectHttp2(`https://${example.addresses[0]!}`, options);
  try {
    const stream = session.request({ ":path": "/", ":authority": "two.localhost" });
    const [[fields], chunks] = await Promise.all([once(stream, "response"), stream.toArray()]);
    expect(fields).toMatchObject({ ":status": 200 });
    expect(Buffer.concat(chunks as Buffer[]).toString()).toBe("https, TLSv1.3 for two.localhost");
  } finally {
    session.destroy();
  }
});
