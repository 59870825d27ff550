// A proxy that can be upgraded. It tells what happens to it by lines on its standard output, as do its workers.
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Server } from "../../../packages/core/src/index.ts";
import { linuxHandover } from "../../../packages/linux/src/index.ts";
import { httpProxy, HttpPeer, type ProxyHttp } from "../../../packages/proxy/src/index.ts";
import { opensslTls, selfSignedCertificate } from "../../../packages/tls-openssl/src/index.ts";
import type { UpgradableConfig, UpgradableLine } from "../support/server-process.ts";

const CERTIFICATE = selfSignedCertificate({ names: ["a.test"] });
const config = JSON.parse(process.argv[2]!) as UpgradableConfig;
const { upgrade, addresses, upstream, conf, waits = false, fails = false } = config;

// Nobody is left to stop it. (Workers have another standard input.)
if (process.send === undefined) {
  process.stdin.resume().on("end", () => process.exit());
  (process.stdin as Socket).unref();
}

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,
  upstreamPeer: () => new HttpPeer(upstream),
  responseFilter: (_session, response) => void response.set("X-Served-By", config.name),
};

const server = new Server(conf, { upgrade, handover: linuxHandover() });
const service = httpProxy(server, app, { tls: opensslTls() });
for (const address of addresses) {
  if (address.startsWith("unix:")) service.listenUnix(address.slice("unix:".length));
  else if (address.startsWith("tls:")) service.listenTls(address.slice("tls:".length), { certificates: [CERTIFICATE] });
  else service.listenTcp(address);
}
if (waits) {
  const told = new Promise<void>((resolve) => process.once("SIGUSR2", () => resolve()));
  // Its timer keeps the process alive.
  const timer = setInterval(() => undefined, 60_000);
  server.addService({ name: "patience", start: () => told, stop: () => Promise.resolve(clearInterval(timer)) });
}
server.addService(service);
if (fails) {
  // Once it has clients.
  const start = async (): Promise<void> => {
    while (service.connectionCount === 0) await sleep(1);
    throw new Error("for a test");
  };
  server.addService({ name: "bad luck", start, stop: () => Promise.resolve() });
}
server.onPhase((phase) => {
  const line: UpgradableLine = { pid: process.pid, phase, addresses: service.addresses };
  process.stdout.write(`${JSON.stringify(line)}\n`);
});
await server.run();
