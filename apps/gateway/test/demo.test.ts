import { execFile } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { testWith } from "../../../test/programs.ts";
import { GatewayProcess } from "./gateway-process.ts";
import { call } from "./http-call.ts";
import { tlsCall } from "./tls-call.ts";

const DEMO = "127.0.0.1:6188";
const DEMO_TLS = "127.0.0.1:6189";
const CERTIFICATE_FOLDER = fileURLToPath(new URL("../.demo-certificate", import.meta.url));

function isTaken(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(6188, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

test("the demo shares requests between its origins, outlives one of them, and ends at Ctrl-C", async (context) => {
  // At a desk a demo may be running; in CI nothing may hide that this was not tested.
  context.skip(!process.env["CI"] && (await isTaken()), `${DEMO} is in use`);
  await using demo = new GatewayProcess(["--demo"]);
  await demo.until(() => demo.stdout.includes("Ctrl-C"));
  expect(demo.stdout).toContain(`curl -i http://${DEMO}/`);

  expect(await helloFrom(3)).toEqual(["1", "2", "3"]);
  expect(await call(DEMO, "/echo", { method: "POST", body: "ping" })).toEqual({ status: 200, body: "ping" });
  expect((await call(DEMO, "/bytes/100000")).body).toHaveLength(100_000);
  expect((await call(DEMO, "/bytes/x")).status).toBe(400);
  expect((await call(DEMO, "/demo/stop/2")).status).toBe(405);

  expect(await call(DEMO, "/demo/stop/2", { method: "POST" })).toEqual({ status: 200, body: "origin 2: stopped\n" });
  expect(await helloFrom(6)).toEqual(["1", "3"]);
  await call(DEMO, "/demo/start/2", { method: "POST" });
  await demo.until(async () => (await helloFrom(6)).includes("2"));

  demo.signal("SIGINT");
  expect(await demo.exited).toBe(0);
  expect(demo.requests.length).toBeGreaterThan(15);
  expect(demo.requests.filter(({ status }) => status === 502)).toEqual([]);
});

test("the demo speaks TLS and HTTP/2, with a certificate of its own making that can be trusted", async (context) => {
  context.skip(!process.env["CI"] && (await isTaken()), `${DEMO} is in use`);
  await using demo = new GatewayProcess(["--demo"]);
  await demo.until(() => demo.stdout.includes("Ctrl-C"));
  const ca = readFileSync(`${CERTIFICATE_FOLDER}/cert.pem`, "utf8");
  for (const alpn of ["h2", "http/1.1"] as const) {
    expect(await tlsCall(DEMO_TLS, "/", { name: "localhost", ca, alpn })).toMatchObject({ status: 200, alpn });
  }
  expect(statSync(`${CERTIFICATE_FOLDER}/key.pem`).mode & 0o777).toBe(0o600);
});

testWith("curl", "the line for curl that the demo prints works as it is", async ({ curl }) => {
  await using demo = new GatewayProcess(["--demo"]);
  await demo.until(() => demo.stdout.includes("Ctrl-C"));
  const [, args = ""] = /^ {2}curl (-k --http2 .*?) {2,}/m.exec(demo.stdout) ?? [];
  const { stdout } = await promisify(execFile)(curl, ["-sS", ...args.split(" ")]);
  expect(stdout).toMatch(/^HTTP\/2 200 \r\n.*\r\n\r\nhello from origin \d\n$/s);
});

/** Which origins answered `count` requests. */
async function helloFrom(count: number): Promise<string[]> {
  const origins = new Set<string>();
  for (let round = 0; round < count; round++) {
    const { status, body } = await call(DEMO, "/");
    expect(status).toBe(200);
    origins.add(/^hello from origin (\d)\n$/.exec(body)?.[1] ?? body);
  }
  return [...origins].toSorted();
}
