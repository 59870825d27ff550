import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configureLogs, handoverChannel, Server, tlsChannels } from "@sluice/core";
import { httpProxy, type ProxyHttp } from "@sluice/proxy";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EventLog } from "../../core/src/testing/index.ts";
import { opensslTls, selfSignedCertificate } from "../../tls-openssl/src/index.ts";
import { Endpoint } from "./support/scrape.ts";

beforeEach(() => configureLogs({ levels: "silent" }));
afterEach(() => configureLogs());

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,
  upstreamPeer: () => {
    throw new Error("not reached");
  },
};

async function plaintextTo(address: string): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port: Number(address.split(":")[1]) });
  socket.resume().end("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  await once(socket, "close");
}

test("handshakes that fail are counted by service and reason, changed files by what became of them", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-"));
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const [first, second] = [selfSignedCertificate({ names: ["a.test"] }), selfSignedCertificate({ names: ["b.test"] })];
  await Promise.all([writeFile(cert, first.cert), writeFile(key, first.key)]);
  await using endpoint = await Endpoint.start();
  using log = new EventLog(...Object.values(tlsChannels));
  const server = new Server();
  const proxy = httpProxy(server, app, { tls: opensslTls(), name: "shop" }).listenTls("127.0.0.1:0", {
    certificates: [{ cert: { file: cert }, key: { file: key } }],
    reloadMs: 5,
  });
  await server.addService(proxy).start();
  try {
    expect((await endpoint.scrape()).total("sluice_tls_reloads_total")).toBe(0);
    await plaintextTo(proxy.addresses[0]!);
    await log.next("handshake-failed");
    await writeFile(cert, second.cert);
    await log.next("reloaded");
    await writeFile(key, second.key);
    await log.next("reloaded", 2);
    const scrape = await endpoint.scrape();
    expect(scrape.value('sluice_tls_handshake_failures_total{service="shop",reason="not-tls"}')).toBe(1);
    expect(scrape.value('sluice_tls_reloads_total{result="failed"}')).toBe(1);
    expect(scrape.value('sluice_tls_reloads_total{result="updated"}')).toBe(1);
  } finally {
    await server.stop(0);
    await rm(folder, { recursive: true });
  }
});

test("reloads and hand-overs are counted by how they ended", async () => {
  await using endpoint = await Endpoint.start();
  const server = new Server();
  let text = "good";
  server.onReload({
    name: "greeting",
    load() {
      if (text === "bad") throw new Error("no greeting");
      return text;
    },
    apply: () => undefined,
  });
  await server.start();
  await server.reload();
  text = "bad";
  await expect(server.reload()).rejects.toThrow("no greeting");
  // What it takes to get there is shown by the tests of upgrades.
  handoverChannel.publish({ outcome: "failed", error: new Error("nobody there") });
  const scrape = await endpoint.scrape();
  await server.stop(0);
  expect(scrape.value('sluice_reloads_total{result="applied"}')).toBe(1);
  expect(scrape.value('sluice_reloads_total{result="refused"}')).toBe(1);
  expect(scrape.value('sluice_handovers_total{result="failed"}')).toBe(1);
  expect(scrape.value('sluice_handovers_total{result="handed-over"}')).toBe(0);
});
