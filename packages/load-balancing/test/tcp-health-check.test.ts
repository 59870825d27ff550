import { expect, test } from "vitest";
import { Backend, LoadBalancer, tcpHealthCheck } from "@sluice/load-balancing";
import { captureLogs } from "./captured-logs.ts";
import { TcpServer, closedAddress } from "./tcp-server.ts";

test.each([true, false])("finds out who listens; all stay in the set (parallel: %s)", async (parallelHealthChecks) => {
  const lines = captureLogs();
  await using one = await TcpServer.listen();
  await using two = await TcpServer.listen();
  const closed = await closedAddress();
  const changes: [string, boolean][] = [];
  const balancer = LoadBalancer.from([one.address, two.address, closed], {
    healthCheck: tcpHealthCheck({ onChange: (backend, healthy) => void changes.push([backend.address.text, healthy]) }),
    parallelHealthChecks,
  });
  await balancer.checkHealth();
  expect(balancer.backends.map((backend) => balancer.ready(backend))).toEqual([true, true, false]);
  expect(changes).toEqual([[closed, false]]);
  expect(lines.map(({ msg, backend }) => [msg, backend])).toEqual([["backend becomes unhealthy", closed]]);
  expect(lines[0]?.err?.message).toMatch(/^Upstream ConnectRefused context: connecting to 127\.0\.0\.1:\d+ cause: /);
});

test("leaves no connection behind", async () => {
  await using server = await TcpServer.listen();
  const check = tcpHealthCheck();
  for (let round = 1; round <= 3; round += 1) {
    await check.check(Backend.from(server.address), new AbortController().signal);
  }
  // Closing waits for open connections.
  await server.stop();
  expect(server.accepted).toBe(3);
});

test("gives up when it is told to", async () => {
  await using server = await TcpServer.listen();
  const backend = Backend.from(server.address);
  await expect(tcpHealthCheck().check(backend, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
});
