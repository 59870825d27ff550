import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { call } from "./http-call.ts";
import { Origin } from "./origin.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gateway-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function write(name: string, origin: Origin, more: string): Promise<string> {
  const conf = `listeners: [{ address: "unix:${folder}/${name}.sock" }]
upstreams: { a: { servers: ["${origin.address}"] } }
routes: [{ upstream: a }]
${more}`;
  await writeFile(`${folder}/${name}.yaml`, conf);
  return `${folder}/${name}.yaml`;
}

test("metrics: what all workers have counted is served where the file says", async () => {
  await using origin = await Origin.start((_request, response) => response.end("ok"));
  const more = `threads: 2\nmetrics: { address: "unix:${folder}/metrics", path: /counts }\n`;
  await using gateway = new GatewayProcess(["-c", await write("counted", origin, more)]);
  await gateway.until(() => gateway.stderr.includes('"msg":"listening"'));
  for (let requests = 0; requests < 5; requests++) await call(`unix:${folder}/counted.sock`, "/");
  const { status, body } = await call(`unix:${folder}/metrics`, "/counts");
  expect(status).toBe(200);
  expect(body).toContain('sluice_requests_total{protocol="HTTP/1.1",status_class="2xx"} 5\n');
  expect(body).toContain(`sluice_backend_healthy{balancer="a",backend="${origin.address}"} 1\n`);
});

test("sentry: what failed is reported to the DSN, as the file says", async () => {
  let reports = "";
  await using sentry = await Origin.start((incoming, response) => {
    void buffer(incoming).then((body) => {
      reports += incoming.url;
      reports += (incoming.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body).toString();
      response.end("{}");
    });
  });
  await using gone = await Origin.start(() => undefined);
  await gone[Symbol.asyncDispose]();
  const more = `sentry: { dsn: "http://key@${sentry.address}/7", environment: trial, sample_rates: { upstream: 1 } }
upgrade_sock: ${folder}/upgrade.sock
upgrade_sock_connect_accept_max_retries: 0
`;
  const file = await write("reported", gone, more);
  await using gateway = new GatewayProcess(["-c", file]);
  await gateway.until(() => gateway.stderr.includes('"msg":"listening"'));
  expect((await call(`unix:${folder}/reported.sock`, "/")).status).toBe(502);
  await gateway.until(() => reports.includes("ConnectRefused"));
  expect(reports).toContain("/api/7/envelope/");
  expect(reports).toContain('"environment":"trial"');

  gateway.signal("SIGQUIT");
  await gateway.until(() => reports.includes("handover-failed"));
  await using second = new GatewayProcess(["-c", file]);
  expect(await second.exited).toBe(1);
  expect(reports).toContain(`cannot listen on unix:${folder}/reported.sock`);
}, 60_000);

test("a DSN that is none is refused, and not shown", async () => {
  await using origin = await Origin.start((_request, response) => response.end("ok"));
  const file = await write("dsn", origin, "sentry: { dsn: secret-of-ours }\n");
  await using gateway = new GatewayProcess(["-c", file]);
  expect(await gateway.exited).toBe(1);
  expect(gateway.stderr).toContain(`${file}:4:16: sentry.dsn: is no DSN`);
  expect(gateway.stderr).not.toContain("secret-of-ours");
  expect(existsSync(`${folder}/dsn.sock`)).toBe(false);
});
