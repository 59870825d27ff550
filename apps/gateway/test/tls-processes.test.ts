import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { Origin } from "./origin.ts";
import { tlsCall, type TlsClient } from "./tls-call.ts";
import { startTlsOrigin } from "./tls-origin.ts";

const ca = certificateAuthority("Gateway");
const certificate = ca.issue({ names: ["a.test"] });
const client: TlsClient = { name: "a.test", ca: ca.cert };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gateway-tls-processes-"));
  write("a.pem", certificate.cert);
  write("a.key", certificate.key);
  write("ca.pem", ca.cert);
  write("ticket.key", randomBytes(48));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | Uint8Array): string {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
}

test("relative paths of certificates and keys are found by the workers of a daemon, and at a reload", async () => {
  await using origin = await startTlsOrigin({ certificate, clientCa: ca.cert });
  const shown = ca.issue({ usage: "client", commonName: "gateway" });
  write("client.pem", shown.cert);
  write("client.key", shown.key);
  const relative = (name: string): string => path.relative(".", path.join(folder, name));
  const yaml = `listeners:
  - address: 127.0.0.1:0
    tls: { certificates: [{ cert: ${relative("a.pem")}, key: ${relative("a.key")} }] }
upstreams:
  a:
    servers: ["${origin.address}"]
    tls:
      sni: a.test
      ca: ${relative("ca.pem")}
      client_certificate: { cert: ${relative("client.pem")}, key: ${relative("client.key")} }
routes: [{ upstream: a }]
threads: 2
pid_file: ${folder}/pid
error_log: ${folder}/log
daemon_wait_for_ready: true
`;
  const file = write("gateway.yaml", yaml);
  await using starter = new GatewayProcess(["-d", "-c", path.relative(".", file)]);
  expect(await starter.exited).toBe(0);
  const pid = Number(readFileSync(`${folder}/pid`, "utf8"));
  const log = (): string => readFileSync(`${folder}/log`, "utf8");
  try {
    const listening = log()
      .split("\n")
      .find((line) => line.includes('"msg":"listening"'))!;
    const [address = ""] = (JSON.parse(listening) as { addresses: string[] }).addresses;
    // Each worker has its turn.
    for (let call = 0; call < 8; call++) {
      expect(await tlsCall(address, "/", client)).toMatchObject({ status: 200, names: "DNS:a.test" });
    }
    process.kill(pid, "SIGHUP");
    await expect.poll(log, { timeout: 10_000 }).toContain('"msg":"reloaded"');
    expect(await tlsCall(address, "/", client)).toMatchObject({ status: 200 });
    process.kill(pid, "SIGTERM");
    await expect.poll(() => existsSync(`${folder}/pid`), { timeout: 10_000 }).toBe(false);
  } finally {
    if (existsSync(`${folder}/pid`)) process.kill(pid, "SIGKILL");
  }
}, 40_000);

test("a worker that replaces another serves as those before it while its files are broken, and takes them when they are mended", async () => {
  await using origin = await startTlsOrigin({ certificate, clientCa: ca.cert });
  const shown = ca.issue({ usage: "client", commonName: "gateway" });
  write("client.pem", shown.cert);
  write("client.key", shown.key);
  // More than a pipe holds at once.
  write("ca.pem", `${ca.cert}${"# a comment\n".repeat(100_000)}`);
  await using gateway = await GatewayProcess.start(
    folder,
    `listeners:
  - address: 127.0.0.1:0
    tls:
      certificates: [{ cert: ${folder}/a.pem, key: ${folder}/a.key }]
      session_ticket_key: ${folder}/ticket.key
      client_certificates: { mode: request, ca: ${folder}/ca.pem }
upstreams:
  a:
    servers: ["${origin.address}"]
    tls:
      sni: a.test
      ca: ${folder}/ca.pem
      client_certificate: { cert: ${folder}/client.pem, key: ${folder}/client.key }
routes: [{ upstream: a }]
threads: 2
ca_file: ${folder}/ca.pem
`,
    { SLUICE_LOG: "debug" },
  );
  const [address = ""] = gateway.addresses;
  const ready = (): number[] => gateway.lines("a worker is ready").map(({ pid }) => pid as number);
  await gateway.until(() => ready().length === 2);

  // A renewal that went well: those who come later begin with it, and not with what there was at the start.
  const renewed = ca.issue({ names: ["a.test", "renewed.test"] });
  write("a.pem", renewed.cert);
  write("a.key", renewed.key);
  await gateway.until(() => gateway.lines("took new TLS files").length >= 2);
  // One that did not.
  for (const name of ["a.pem", "ticket.key", "ca.pem", "client.pem", "client.key"]) write(name, "broken");
  rmSync(path.join(folder, "a.key"));
  for (const pid of ready()) process.kill(pid, "SIGKILL");
  await gateway.until(() => ready().length === 4);
  const served = { status: 200, names: "DNS:a.test, DNS:renewed.test" };
  for (let call = 0; call < 8; call++) expect(await tlsCall(address, "/", client)).toMatchObject(served);
  // They say what is wrong, as the others would.
  const refused = (): Record<string, unknown>[] =>
    gateway.lines("new TLS files cannot be used; those from before stay");
  await gateway.until(() => refused().length > 0);
  expect(JSON.stringify(refused()[0])).toContain(`cannot read ${folder}/a.key`);

  write("a.pem", certificate.cert);
  write("a.key", certificate.key);
  write("ticket.key", randomBytes(48));
  write("ca.pem", ca.cert);
  await gateway.until(() => gateway.lines("took new TLS files").length >= 4);
  for (let call = 0; call < 8; call++) {
    expect(await tlsCall(address, "/", client)).toMatchObject({ status: 200, names: "DNS:a.test" });
  }
  expect(gateway.lines("a worker has ended").map(({ cause }) => cause)).toEqual(["killed", "killed"]);
}, 90_000);

test("a session that the server of before an upgrade gave is resumed by the one behind it", async () => {
  await using origin = await Origin.start((_request, response) => response.end("ok"));
  const file = write(
    "gateway.yaml",
    `listeners:
  - address: 127.0.0.1:0
    tls:
      certificates: [{ cert: ${folder}/a.pem, key: ${folder}/a.key }]
      session_ticket_key: ${folder}/ticket.key
upstreams: { a: { servers: ["${origin.address}"] } }
routes: [{ upstream: a }]
upgrade_sock: ${folder}/upgrade.sock
`,
  );
  await using old = new GatewayProcess(["-c", file]);
  await old.until(() => old.addresses.length > 0);
  const [address = ""] = old.addresses;
  const before = await tlsCall(address, "/", client);
  expect(before).toMatchObject({ status: 200, resumed: false });
  await using next = new GatewayProcess(["-u", "-c", file]);
  old.signal("SIGQUIT");
  expect(await old.exited).toBe(0);
  expect(await tlsCall(address, "/", { ...client, session: before.session! })).toMatchObject({
    status: 200,
    resumed: true,
  });
  next.signal("SIGTERM");
  expect(await next.exited).toBe(0);
}, 40_000);
