import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { call } from "./http-call.ts";
import { startTlsOrigin } from "./tls-origin.ts";

const ca = certificateAuthority("Inner");
const certificate = ca.issue({ names: ["api.test"] });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gateway-upstreams-"));
  file("ca.pem", ca.cert);
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const at = path.join(folder, name);
  writeFileSync(at, text);
  return at;
}

/** A gateway for one upstream with these keys. */
function start(address: string, keys: string): Promise<GatewayProcess> {
  return GatewayProcess.start(
    folder,
    `listeners: [{ address: 127.0.0.1:0 }]
upstreams:
  api:
    servers: ["${address}"]
    ${keys.replaceAll("CA", path.join(folder, "ca.pem"))}
routes: [{ upstream: api }]
`,
  );
}

async function ask(gateway: GatewayProcess): Promise<Record<string, unknown>> {
  const { status, body } = await call(gateway.addresses[0]!, "/");
  return status === 200 ? { status, ...(JSON.parse(body) as object) } : { status };
}

describe("by TLS, with the version of HTTP that is asked for", () => {
  test.for([
    ["1.1", true, "1.1"],
    ["negotiate", true, "2.0"],
    ["negotiate", false, "1.1"],
    ["2", true, "2.0"],
  ] as const)("http: %s, HTTP/2 spoken: %s", async ([http, http2, version]) => {
    await using origin = await startTlsOrigin({ certificate, http2 });
    await using gateway = await start(origin.address, `http: "${http}"\n    tls: { sni: api.test, ca: "CA" }`);
    for (let round = 0; round < 2; round++) {
      expect(await ask(gateway)).toEqual({ status: 200, version, name: "api.test" });
    }
  });

  test("http: 2, and the server cannot: 502, and the log says why", async () => {
    await using origin = await startTlsOrigin({ certificate });
    await using gateway = await start(origin.address, `http: 2\n    tls: { sni: api.test, ca: "CA" }`);
    expect(await ask(gateway)).toEqual({ status: 502 });
    await gateway.until(() => gateway.requests.length === 1);
    expect(gateway.requests[0]).toMatchObject({
      status: 502,
      error: expect.stringContaining("no application protocol") as string,
    });
  });
});

test("http: 2 without TLS, by prior knowledge", async () => {
  await using origin = await startTlsOrigin({});
  await using gateway = await start(origin.address, "http: 2");
  expect(await ask(gateway)).toEqual({ status: 200, version: "2.0" });
});

describe("a certificate that does not verify: 502, and the log says why", () => {
  test.for([
    [
      "of an authority that nobody trusts",
      "tls: { sni: api.test }",
      "nobody trusted has issued the upstream's certificate",
    ],
    ["for another name", 'tls: { sni: other.test, ca: "CA" }', "api.test"],
    ["for a name, and none is asked for but the address", 'tls: { ca: "CA" }', "api.test"],
  ] as const)("%s", async ([, keys, why]) => {
    await using origin = await startTlsOrigin({ certificate });
    await using gateway = await start(origin.address, keys);
    expect(await ask(gateway)).toEqual({ status: 502 });
    await gateway.until(() => gateway.stderr.includes("request failed"));
    expect(gateway.stderr).toMatch(/"type":"InvalidCert".*"hint":/);
    expect(gateway.stderr).toContain(why);
  });
});

test("verify: false takes any certificate; so tls: true takes those alone that Node.js trusts", async () => {
  await using origin = await startTlsOrigin({ certificate });
  await using blind = await start(origin.address, "tls: { verify: false }");
  expect(await ask(blind)).toMatchObject({ status: 200, version: "1.1" });
  await using careful = await start(origin.address, "tls: true");
  expect(await ask(careful)).toEqual({ status: 502 });
});

test("client_certificate is shown to a server that asks for it", async () => {
  const own = ca.issue({ usage: "client", commonName: "the gateway" });
  const files = `{ cert: "${file("own.pem", own.cert)}", key: "${file("own.key", own.key)}" }`;
  await using origin = await startTlsOrigin({ certificate, http2: true, clientCa: ca.cert });
  await using gateway = await start(
    origin.address,
    `tls: { sni: api.test, ca: "CA", client_certificate: ${files} }\n    http: negotiate`,
  );
  expect(await ask(gateway)).toEqual({ status: 200, version: "2.0", name: "api.test", client: "the gateway" });

  await using without = await start(origin.address, 'tls: { sni: api.test, ca: "CA" }');
  expect((await ask(without))["status"]).toBe(502);
});

describe("a file that cannot be used: its key, with --test its line, and exit code 1", () => {
  test.for([
    ["that is not there", '{ ca: "FOLDER/none" }', "upstreams.api.tls.ca: cannot read FOLDER/none: ENOENT"],
    ["that is no PEM", '{ ca: "FOLDER/text" }', "upstreams.api.tls.ca: FOLDER/text cannot be used, PEM is expected"],
    [
      "with the key of another",
      '{ client_certificate: { cert: "CA", key: "FOLDER/other.key" } }',
      "upstreams.api.tls.client_certificate: the key in FOLDER/other.key is not that of FOLDER/ca.pem",
    ],
  ] as const)("%s", async ([, tls, line]) => {
    file("text", "no certificate");
    file("other.key", ca.issue().key);
    const yaml = `listeners: [{ address: 127.0.0.1:0 }]\nupstreams: { api: { servers: [127.0.0.1:1], tls: ${tls} } }\nroutes: [{ upstream: api }]\n`;
    const conf = file("bad.yaml", yaml.replaceAll("CA", `${folder}/ca.pem`).replaceAll("FOLDER", folder));
    for (const [flags, where] of [
      ["-c", /^gateway: /],
      ["-tc", /^.*bad\.yaml:2:\d+: /],
    ] as const) {
      await using gateway = new GatewayProcess([flags, conf]);
      expect(await gateway.exited).toBe(1);
      expect(gateway.stderr).toContain(`: ${line.replaceAll("FOLDER", folder)}`);
      expect(gateway.stderr).toMatch(where);
    }
  });
});
