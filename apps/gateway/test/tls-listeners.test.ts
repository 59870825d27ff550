import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { certificateAuthority, type MadeCertificate } from "@sluice/tls-openssl/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { Origin } from "./origin.ts";
import { tlsCall, type TlsClient } from "./tls-call.ts";

const ca = certificateAuthority("Gateway");
const clients = certificateAuthority("Clients");

let origin: Origin;
beforeAll(async () => {
  origin = await Origin.start((request, response) => response.end(`${request.headers.host} ${request.url}`));
});
afterAll(() => origin[Symbol.asyncDispose]());

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), "gateway-tls-"))));
afterEach(() => rmSync(folder, { recursive: true }));

/** Writes certificate and key, as a tool that renews them would; gives the entry for the configuration. */
function certificate(name: string, { cert, key }: MadeCertificate): string {
  const files = { cert: path.join(folder, `${name}.pem`), key: path.join(folder, `${name}.key`) };
  for (const [file, text] of [
    [files.key, key],
    [files.cert, cert],
  ] as const) {
    writeFileSync(`${file}.next`, text);
    renameSync(`${file}.next`, file);
  }
  return `{ cert: "${files.cert}", key: "${files.key}" }`;
}

/** A gateway with a listener whose `tls` is given. */
function start(tls: string, more = "", env: NodeJS.ProcessEnv = {}): Promise<GatewayProcess> {
  const yaml = `listeners: [{ address: 127.0.0.1:0, tls: ${tls} }]
upstreams: { a: { servers: ["${origin.address}"] } }
routes: [{ upstream: a }]
${more}`;
  return GatewayProcess.start(folder, yaml, env);
}

const trusting = (name: string): TlsClient => ({ name, ca: ca.cert });

test("serves by HTTP/2 and HTTP/1.1, with the certificate for the name", async () => {
  const a = certificate("a", ca.issue({ names: ["a.test"] }));
  const b = certificate("b", ca.issue({ names: ["*.b.test", "b.test"] }));
  await using gateway = await start(`{ certificates: [${a}, ${b}] }`);
  const [address = ""] = gateway.addresses;
  expect(await tlsCall(address, "/x", trusting("a.test"))).toMatchObject({
    status: 200,
    body: "a.test /x",
    alpn: "http/1.1",
    names: "DNS:a.test",
  });
  expect(await tlsCall(address, "/y", { ...trusting("x.b.test"), alpn: "h2" })).toMatchObject({
    status: 200,
    body: "x.b.test /y",
    alpn: "h2",
    names: "DNS:*.b.test, DNS:b.test",
  });
  await expect(tlsCall(address, "/", trusting("c.test"))).rejects.toMatchObject({
    code: "ERR_TLS_CERT_ALTNAME_INVALID",
  });
  await gateway.until(() => gateway.requests.length === 2);
  expect(gateway.requests.map(({ target, status }) => [target, status])).toEqual([
    ["/x", 200],
    ["/y", 200],
  ]);
});

test("names say which certificate is for whom; http2: false leaves HTTP/1.1; min_version keeps older clients out", async () => {
  const a = certificate("a", ca.issue({ names: ["a.test"] }));
  const b = certificate("b", ca.issue({ names: ["b.test", "c.test"] })).replace(" }", ", names: [c.test] }");
  await using gateway = await start(`{ certificates: [${a}, ${b}], http2: false, min_version: 1.3 }`);
  const [address = ""] = gateway.addresses;
  expect(await tlsCall(address, "/", trusting("c.test"))).toMatchObject({ names: "DNS:b.test, DNS:c.test" });
  await expect(tlsCall(address, "/", trusting("b.test"))).rejects.toThrow(/altnames/);
  await expect(tlsCall(address, "/", { ...trusting("a.test"), alpn: "h2" })).rejects.toThrow(
    /no application protocol/i,
  );
  const old = { ...trusting("a.test"), maxVersion: "TLSv1.2" } as TlsClient;
  await expect(tlsCall(address, "/", old)).rejects.toThrow(/protocol version/);
  await gateway.until(() => gateway.stderr.includes('"detail":"tls-version"'));
});

test("client_certificates: require lets in who has one of the authority, request everybody", async () => {
  const server = certificate("server", ca.issue({ names: ["a.test"] }));
  const clientCa = path.join(folder, "clients.pem");
  writeFileSync(clientCa, clients.cert);
  const shown = { ...trusting("a.test"), ...clients.issue({ usage: "client", commonName: "one" }) };
  const strange = { ...trusting("a.test"), ...ca.issue({ usage: "client", commonName: "two" }) };
  {
    await using gateway = await start(
      `{ certificates: [${server}], client_certificates: { mode: require, ca: "${clientCa}" } }`,
    );
    const [address = ""] = gateway.addresses;
    expect(await tlsCall(address, "/", shown)).toMatchObject({ status: 200 });
    await expect(tlsCall(address, "/", trusting("a.test"))).rejects.toThrow(/certificate required/);
    // By Node's TLS that comes when an alert cannot be sent any more.
    expect(await tlsCall(address, "/", strange)).toMatchObject({
      status: 400,
      body: "This server does not accept the certificate of the client\n",
    });
    await gateway.until(() => gateway.stderr.includes('"detail":"cert-missing"'));
    await gateway.until(() => gateway.stderr.includes('"detail":"cert-unknown-issuer"'));
    expect(gateway.requests).toHaveLength(1);
  }
  await using gateway = await start(
    `{ certificates: [${server}], client_certificates: { mode: request, ca: "${clientCa}" } }`,
  );
  const [address = ""] = gateway.addresses;
  for (const client of [shown, strange, trusting("a.test")]) {
    expect(await tlsCall(address, "/", client)).toMatchObject({ status: 200 });
  }
}, 40_000);

test("a certificate that is replaced serves; what cannot be used changes nothing; who is connected stays so", async () => {
  const a = certificate("a", ca.issue({ names: ["a.test"] }));
  await using gateway = await start(`{ certificates: [${a}] }`);
  const [address = ""] = gateway.addresses;
  const names = async (): Promise<string | undefined> => (await tlsCall(address, "/", trusting("a.test"))).names;
  expect(await names()).toBe("DNS:a.test");

  const open = connectHttp2(`https://${address}`, { ca: ca.cert, servername: "a.test" });
  try {
    await once(open, "connect");
    certificate("a", { cert: "-----BEGIN nonsense", key: "none" });
    await gateway.until(() => /"level":[45]0.*a\.(pem|key)/.test(gateway.stderr));
    expect(await names()).toBe("DNS:a.test");

    certificate("a", ca.issue({ names: ["a.test", "new.test"] }));
    await gateway.until(async () => (await names()) === "DNS:a.test, DNS:new.test");
    const stream = open.request({ ":path": "/still", ":authority": "a.test" });
    expect(Buffer.concat((await stream.toArray()) as Buffer[]).toString()).toBe("a.test /still");
  } finally {
    open.destroy();
  }
}, 60_000);

test("threads: 2: a session is resumed at another worker than the one that began it", async () => {
  const a = certificate("a", ca.issue({ names: ["a.test"] }));
  await using gateway = await start(`{ certificates: [${a}] }`, "threads: 2\n", { SLUICE_LOG: "info,core=debug" });
  const workers = (): number[] =>
    [...gateway.stderr.matchAll(/"worker":\d+,"pid":(\d+),.*"a worker is ready"/g)].map(([, pid]) => Number(pid));
  await gateway.until(() => workers().length === 2);
  const [address = ""] = gateway.addresses;
  const { resumed, session } = await tlsCall(address, "/", trusting("a.test"));
  expect([resumed, session !== undefined]).toEqual([false, true]);
  // Whichever it was, one by one both are replaced.
  for (const [index, pid] of workers().entries()) {
    process.kill(pid, "SIGKILL");
    await gateway.until(() => workers().length === 3 + index);
  }
  expect(await tlsCall(address, "/", { ...trusting("a.test"), session: session! })).toMatchObject({
    status: 200,
    resumed: true,
  });
}, 60_000);

test("session_ticket_key: a session is resumed after a restart", async () => {
  const a = certificate("a", ca.issue({ names: ["a.test"] }));
  const key = path.join(folder, "ticket.key");
  writeFileSync(key, randomBytes(48));
  const tls = `{ certificates: [${a}], session_ticket_key: "${key}" }`;
  let session: Buffer | undefined;
  {
    await using first = await start(tls);
    ({ session } = await tlsCall(first.addresses[0]!, "/", trusting("a.test")));
  }
  await using second = await start(tls);
  const answer = await tlsCall(second.addresses[0]!, "/", { ...trusting("a.test"), session: session! });
  expect(answer.resumed).toBe(true);
}, 40_000);

test("h2c: HTTP/2 without TLS, on the same address as HTTP/1.1", async () => {
  const yaml = `listeners: [{ address: 127.0.0.1:0 }]
h2c: true
upstreams: { a: { servers: ["${origin.address}"] } }
routes: [{ upstream: a }]
`;
  await using gateway = await GatewayProcess.start(folder, yaml);
  const url = `http://${gateway.addresses[0]!}`;
  expect((await fetch(`${url}/1`)).status).toBe(200);
  const client = connectHttp2(url);
  try {
    const stream = client.request({ ":path": "/2", ":authority": "a.test" });
    expect(Buffer.concat((await stream.toArray()) as Buffer[]).toString()).toBe("a.test /2");
  } finally {
    client.destroy();
  }
});

test.for([
  ["-c", "gateway: cannot listen on unix:/nowhere with TLS: cannot read FOLDER/none.pem: ENOENT: no such file"],
  ["-tc", "FOLDER/gateway.yaml:1:41: listeners[0].tls: cannot read FOLDER/none.pem: ENOENT: no such file"],
] as const)("%s: a certificate that is not there is named, exit code 1", async ([flags, line]) => {
  const file = path.join(folder, "gateway.yaml");
  const tls = `{ certificates: [{ cert: "${folder}/none.pem", key: "${folder}/none.key" }] }`;
  writeFileSync(
    file,
    `listeners: [{ address: "unix:/nowhere", tls: ${tls} }]\nupstreams: { a: { servers: [127.0.0.1:1] } }\nroutes: [{ upstream: a }]\n`,
  );
  await using gateway = new GatewayProcess([flags, file]);
  expect(await gateway.exited).toBe(1);
  expect(gateway.stderr).toContain(line.replaceAll("FOLDER", folder));
  expect(existsSync("/nowhere")).toBe(false);
});
