import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { HttpService, parseYamlConfig } from "@sluice/core";
import { bufferSizes, fastOpen, isIpv6Only, keepAlive, reusesPort, typeOfService } from "@sluice/linux";
import { expect, onTestFinished, test } from "vitest";
import { gatewayConfSchema } from "./gateway-conf.ts";
import { listen } from "./listen.ts";

const REST = `upstreams: { a: { servers: ["127.0.0.1:1"] } }\nroutes: [{ upstream: a }]\n`;

/** A service that listens as this line of a file says, and what `read` found in the first connection with a request. */
async function listening<Found>(
  listener: string,
  read: (fd: number) => Found,
): Promise<{ service: HttpService; fd: number; found: Promise<Found> }> {
  const conf = parseYamlConfig(`listeners: [${listener}]\n${REST}`, gatewayConfSchema, "test.yaml");
  const { promise: found, resolve } = Promise.withResolvers<Found>();
  const service = new HttpService("web", {
    handleRequest: async (session) => resolve(read(session.digest.descriptor!)),
  });
  listen(service, conf.listeners[0]!);
  await service.start();
  onTestFinished(() => service.stop(AbortSignal.abort()));
  return { service, fd: service.listeners[0]!.fd!, found };
}

test.skipIf(process.platform !== "linux")("options of TCP sockets: as the file says, also of connections", async () => {
  const { service, fd, found } = await listening(
    `{ address: "[::1]:0", ipv6_only: true, so_reuseport: true, tcp_fastopen: 7, dscp: 46, tcp_snd_buf: 20000, tcp_recv_buf: 30000,
       tcp_keepalive: { idle_seconds: 9, interval_seconds: 3, count: 2, user_timeout_ms: 4000 } }`,
    (client) => ({ ...keepAlive(client), service: typeOfService(client), ...bufferSizes(client) }),
  );
  expect([fastOpen(fd), typeOfService(fd), isIpv6Only(fd), reusesPort(fd)]).toEqual([7, 184, true, true]);
  const client = connect(Number(service.addresses[0]!.split(":").at(-1)), "::1");
  onTestFinished(() => void client.destroy());
  client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(await found).toEqual({
    enabled: true,
    idleSeconds: 9,
    intervalSeconds: 3,
    count: 2,
    userTimeoutMs: 4000,
    service: 184,
    // The kernel doubles them.
    sendBytes: 40_000,
    receiveBytes: 60_000,
  });
});

test("permissions of a Unix socket", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "gateway-listen-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "a.sock");
  await listening(`{ address: "unix:${file}", mode: "0640" }`, () => undefined);
  expect(statSync(file).mode & 0o777).toBe(0o640);
  const client = connect(file);
  await once(client, "connect");
  client.destroy();
});

test.each([
  [`{ address: "unix:/a.sock", dscp: 1 }`, /listeners\[0\]\.dscp: a Unix socket has no such option/],
  [`{ address: "127.0.0.1:1", mode: "0660" }`, /listeners\[0\]\.mode: only a Unix socket has permissions/],
  [`{ address: "unix:/a.sock", mode: 0660 }`, /listeners\[0\]\.mode: expected/],
  [`{ address: "127.0.0.1:1", dscp: 64 }`, /listeners\[0\]\.dscp: expected an integer from 0 to 63/],
  [`{ address: "127.0.0.1:1", tcp_keepalive: { idle_ms: 1 } }`, /tcp_keepalive\.idle_ms: unknown key/],
])("%s is refused", (listener, message) => {
  expect(() => parseYamlConfig(`listeners: [${listener}]\n${REST}`, gatewayConfSchema, "test.yaml")).toThrow(message);
});
