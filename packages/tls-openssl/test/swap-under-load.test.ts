import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { connect } from "node:tls";
import { observe, tlsChannels } from "@sluice/core";
import { certificateAuthority, type MadeCertificate } from "@sluice/tls-openssl/testing";
import { expect, test } from "vitest";
import { TlsProxy } from "./support/proxy.ts";

const SWAPS = 100;
const CLIENTS = 8;

test(`${SWAPS} certificates one after another, under load: no handshake fails, no request is lost`, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "sluice-tls-"));
  const ca = certificateAuthority();
  const files = { cert: { file: path.join(folder, "a.pem") }, key: { file: path.join(folder, "a.key") } };
  await swap(ca.issue({ names: ["a.test"], commonName: "0" }));
  const origin = createServer((_request, response) => response.end("ok"));
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  await using proxy = await TlsProxy.start({
    origin: `127.0.0.1:${(origin.address() as AddressInfo).port}`,
    listen: { certificates: [files], reloadMs: 5 },
  });

  const load = new AbortController();
  const seen = new Set<string>();
  const failures: unknown[] = [];
  let handshakes = 0;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!load.signal.aborted) {
      try {
        seen.add(await request(proxy.port, ca.cert));
        handshakes++;
      } catch (error) {
        failures.push(error);
      }
    }
  });

  for (let number = 1; number <= SWAPS; number++) {
    const taken = nextReload();
    await swap(ca.issue({ names: ["a.test"], commonName: String(number) }));
    await taken;
  }
  // Whoever connects now sees the last.
  expect(await request(proxy.port, ca.cert)).toBe(`CN=${SWAPS}`);
  load.abort();
  await Promise.all(clients);
  origin.close();
  // Before the files are gone, which is told too.
  expect(proxy.logs.filter(({ level }) => level > 30)).toEqual([]);
  await rm(folder, { recursive: true });

  expect(failures).toEqual([]);
  expect(proxy.service.failedHandshakeCount).toBe(0);
  expect(handshakes).toBeGreaterThanOrEqual(SWAPS);
  expect(seen.size).toBeGreaterThan(SWAPS / 2);

  async function swap({ cert, key }: MadeCertificate): Promise<void> {
    for (const [{ file }, text] of [
      [files.key, key],
      [files.cert, cert],
    ] as const) {
      await writeFile(`${file}.new`, text);
      await rename(`${file}.new`, file);
    }
  }
}, 60_000);

function nextReload(): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = observe(tlsChannels.reloaded, ({ error }) => {
      stop();
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}

/** A request on a connection of its own; gives the subject of the certificate that was shown. */
async function request(port: number, ca: string): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port, ca, servername: "a.test" });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerX509Certificate()!;
  socket.write("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  if (!text.startsWith("HTTP/1.1 200 ")) throw new Error(`answered with ${JSON.stringify(text)}`);
  return subject;
}
