import { LoadBalancer, type HealthCheck } from "@sluice/load-balancing";
import { HttpPeer, type ProxyError } from "@sluice/proxy";
import { expect, test } from "vitest";
import { answering, OK, Origin, refusedAddress } from "../../proxy/test/support/origin.ts";
import { gate, get, startProxy, type TestProxy } from "../../proxy/test/support/proxy.ts";
import { answerOf, spawning } from "../../proxy/test/support/subrequests.ts";
import { Endpoint } from "./support/scrape.ts";

/** A request on a connection of its own, and its answer. */
async function exchange(proxy: TestProxy<object>, request = get()): Promise<void> {
  const client = await proxy.send(request);
  await client.message();
}

test("requests are counted by protocol and status class", async () => {
  await using endpoint = await Endpoint.start();
  await using proxy = await startProxy({
    requestFilter: (session) => session.respond(Number(session.request.path.slice(1))),
  });
  for (const status of [200, 204, 301, 404, 503, 999]) await exchange(proxy, get(`/${status}`));
  await exchange(proxy, "GET /200 HTTP/1.0\r\n\r\n");
  await proxy.whenFinished(7);
  const scrape = await endpoint.scrape();
  const count = (statusClass: string, protocol = "HTTP/1.1"): number | undefined =>
    scrape.value(`sluice_requests_total{protocol="${protocol}",status_class="${statusClass}"}`);
  expect(["2xx", "3xx", "4xx", "5xx", "other", "none", "1xx"].map((each) => count(each))).toEqual([
    2, 1, 1, 1, 1, 0, 0,
  ]);
  expect(count("2xx", "HTTP/1.0")).toBe(1);
  expect(scrape.value('sluice_request_outcomes_total{outcome="complete"}')).toBe(7);
  expect(scrape.value("sluice_request_duration_seconds_count")).toBe(7);
});

test("a request in flight is one, until it is over", async () => {
  await using endpoint = await Endpoint.start();
  const [arrived, answer] = [gate(), gate()];
  await using proxy = await startProxy({
    async requestFilter(session) {
      arrived.open();
      await answer.opened;
      return session.respond(200);
    },
  });
  const client = await proxy.send(get());
  await arrived.opened;
  expect((await endpoint.scrape()).value("sluice_requests_in_flight")).toBe(1);
  answer.open();
  await client.message();
  await proxy.whenFinished();
  expect((await endpoint.scrape()).value("sluice_requests_in_flight")).toBe(0);
});

test("what goes up and comes down is counted, with its times, its bytes, and whether the connection was new", async () => {
  await using endpoint = await Endpoint.start();
  await using origin = await answering(OK);
  await using proxy = await startProxy({ origin });
  const client = await proxy.connect();
  for (const count of [1, 2]) {
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
    await client.message();
    await proxy.whenFinished(count);
  }
  const scrape = await endpoint.scrape();
  expect(scrape.value("sluice_request_body_bytes_total")).toBe(10);
  expect(scrape.value("sluice_response_body_bytes_total")).toBe(4);
  expect(scrape.value('sluice_upstream_connects_total{result="connected"}')).toBe(1);
  expect(scrape.value("sluice_upstream_connect_seconds_count")).toBe(1);
  expect(scrape.value('sluice_upstream_requests_total{connection="new"}')).toBe(1);
  expect(scrape.value('sluice_upstream_requests_total{connection="pooled"}')).toBe(1);
  expect(scrape.value("sluice_upstream_connections_open")).toBe(1);
  expect(scrape.value("sluice_upstream_pool_idle_connections")).toBe(1);
  const phase = (name: string): number | undefined =>
    scrape.value(`sluice_request_phase_seconds_count{phase="${name}"}`);
  expect(["choose", "connect", "send", "wait", "receive"].map(phase)).toEqual([2, 1, 2, 2, 2]);
  expect(scrape.value('sluice_request_phase_seconds_bucket{phase="wait",le="+Inf"}')).toBe(2);

  client.close();
  const ofProxy = 'service="HTTP proxy"';
  const later = await endpoint.until((each) => each.value(`sluice_client_connections_open{${ofProxy}}`) === 0);
  expect(later.value(`sluice_client_connections_total{${ofProxy}}`)).toBe(1);
  expect(later.value(`sluice_client_connections_closed_total{${ofProxy},reason="client"}`)).toBe(1);
  expect(later.value('sluice_client_bytes_total{direction="received"}')).toBeGreaterThan(100);
  expect(later.value('sluice_client_bytes_total{direction="sent"}')).toBeGreaterThan(100);
  proxy.service.proxy.connector.close();
  const last = await endpoint.until((each) => each.value("sluice_upstream_connections_open") === 0);
  expect(last.value("sluice_upstream_pool_idle_connections")).toBe(0);
  expect(last.value('sluice_upstream_connections_closed_total{reason="pool-closed"}')).toBe(1);
  expect(last.value('sluice_upstream_bytes_total{direction="received"}')).toBe(2 * OK.length);
});

test("failures and retries are counted by source and type", async () => {
  await using endpoint = await Endpoint.start();
  const refused = new HttpPeer(await refusedAddress());
  await using proxy = await startProxy<{ tries: number }>({
    newCtx: () => ({ tries: 0 }),
    upstreamPeer: () => refused,
    failToConnect: (_session, _peer, ctx, error) => error.setRetry(ctx.tries++ === 0),
  });
  await exchange(proxy);
  await proxy.whenFinished();
  const scrape = await endpoint.scrape();
  const refusals = '{source="upstream",type="ConnectRefused"}';
  expect(scrape.value(`sluice_attempt_failures_total${refusals}`)).toBe(2);
  expect(scrape.value(`sluice_request_failures_total${refusals}`)).toBe(1);
  expect(scrape.value("sluice_retries_total")).toBe(1);
  expect(scrape.value('sluice_upstream_connects_total{result="failed"}')).toBe(2);
  expect(scrape.value('sluice_requests_total{protocol="HTTP/1.1",status_class="5xx"}')).toBe(1);
});

test("an error in a hook is counted by hook", async () => {
  await using endpoint = await Endpoint.start();
  await using proxy = await startProxy({
    requestFilter() {
      throw new Error("boom");
    },
  });
  await exchange(proxy);
  await proxy.whenFinished();
  const scrape = await endpoint.scrape();
  expect(scrape.value('sluice_hook_errors_total{phase="requestFilter"}')).toBe(1);
  expect(scrape.value('sluice_request_failures_total{source="internal",type="InternalError"}')).toBe(1);
});

test("a client that leaves is a 499, and an answer that nobody got", async () => {
  await using endpoint = await Endpoint.start();
  await using origin = await Origin.start(async (connection) => void (await connection.message()));
  await using proxy = await startProxy({ origin });
  const client = await proxy.send(get());
  await (await origin.connection()).message().catch(() => undefined);
  client.close();
  await proxy.whenFinished();
  const scrape = await endpoint.scrape();
  expect(scrape.value('sluice_request_outcomes_total{outcome="client-left"}')).toBe(1);
  expect(scrape.value('sluice_requests_total{protocol="HTTP/1.1",status_class="4xx"}')).toBe(1);
});

test("bytes that no request asked for are counted", async () => {
  await using endpoint = await Endpoint.start();
  await using origin = await answering(OK);
  await using proxy = await startProxy({ origin });
  await exchange(proxy);
  expect((await endpoint.scrape()).value("sluice_upstream_unexpected_data_total")).toBe(0);
  (await origin.connection()).send("HTTP/1.1 408 Request Timeout\r\n\r\n");
  const scrape = await endpoint.until((each) => each.value("sluice_upstream_unexpected_data_total") === 1);
  expect(scrape.value('sluice_upstream_connections_closed_total{reason="unexpected-data"}')).toBe(1);
  expect(scrape.value("sluice_upstream_pool_idle_connections")).toBe(0);
});

test("a tunnel's life is no request's time", async () => {
  await using endpoint = await Endpoint.start();
  await using origin = await Origin.start(async (connection) => {
    await connection.message();
    connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    await connection.bytes(3);
    connection.end();
  });
  await using proxy = await startProxy({ origin });
  const client = await proxy.send(get("/", "Connection: Upgrade\r\nUpgrade: echo\r\n"));
  await client.upTo("\r\n\r\n");
  client.send("bye").end();
  await proxy.whenFinished();
  const scrape = await endpoint.scrape();
  expect(scrape.value('sluice_requests_total{protocol="HTTP/1.1",status_class="1xx"}')).toBe(1);
  expect(scrape.value("sluice_request_duration_seconds_count")).toBe(0);
  expect(scrape.value('sluice_request_phase_seconds_count{phase="receive"}')).toBe(0);
  expect(scrape.value('sluice_request_phase_seconds_count{phase="wait"}')).toBe(1);
});

test("a subrequest is no request of a client", async () => {
  await using endpoint = await Endpoint.start();
  await using origin = await answering(OK);
  const app = spawning(origin, async (session) => {
    await answerOf(session.subrequests!.create({ method: "GET", target: "/inner" }));
    return session.respond(403);
  });
  await using proxy = await startProxy(app);
  await exchange(proxy);
  await proxy.whenFinished(2);
  const scrape = await endpoint.scrape();
  expect(scrape.value('sluice_subrequests_total{status_class="2xx"}')).toBe(1);
  expect(scrape.total("sluice_requests_total")).toBe(1);
  expect(scrape.value("sluice_requests_in_flight")).toBe(0);
  expect(scrape.value("sluice_request_duration_seconds_count")).toBe(1);
  expect(scrape.value('sluice_upstream_requests_total{connection="new"}')).toBe(1);
});

test("a connection that an accept filter refuses is counted", async () => {
  await using endpoint = await Endpoint.start();
  await using proxy = await startProxy({ requestFilter: (session) => session.respond(200) });
  proxy.service.setAcceptFilter(() => false);
  await (await proxy.connect()).whenEnded();
  const scrape = await endpoint.scrape();
  expect(scrape.value('sluice_client_connections_rejected_total{service="HTTP proxy",reason="filter"}')).toBe(1);
});

test("backends are well or not, ready or not, and forgotten when they leave", async () => {
  let well = true;
  const healthCheck: HealthCheck = { check: () => (well ? Promise.resolve() : Promise.reject(new Error("is down"))) };
  const lists = [["127.0.0.1:1", "127.0.0.1:2"], ["127.0.0.1:2"]];
  const discovery = { discover: () => Promise.resolve({ backends: lists.shift()! }) };
  const balancer = new LoadBalancer({ name: "origins", discovery, healthCheck });
  const fixed = LoadBalancer.from(["127.0.0.1:3"], { name: "fixed" });
  await using endpoint = await Endpoint.start({ balancers: [fixed] });
  await balancer.update();
  await balancer.checkHealth();
  well = false;
  await balancer.checkHealth();
  balancer.setEnabled(balancer.backends[0]!, false);
  well = true;
  await balancer.checkHealth();

  const one = 'balancer="origins",backend="127.0.0.1:1"';
  const two = 'balancer="origins",backend="127.0.0.1:2"';
  const scrape = await endpoint.scrape();
  expect(scrape.value(`sluice_backend_healthy{${one}}`)).toBe(1);
  expect(scrape.value(`sluice_backend_ready{${one}}`)).toBe(0);
  expect(scrape.value(`sluice_backend_ready{${two}}`)).toBe(1);
  expect(scrape.value('sluice_backend_healthy{balancer="fixed",backend="127.0.0.1:3"}')).toBe(1);
  expect(scrape.value(`sluice_health_checks_total{${two},result="success"}`)).toBe(2);
  expect(scrape.value(`sluice_health_checks_total{${two},result="failure"}`)).toBe(1);
  expect(scrape.value(`sluice_backend_health_changes_total{${two},to="unhealthy"}`)).toBe(1);
  expect(scrape.value(`sluice_backend_health_changes_total{${two},to="healthy"}`)).toBe(1);
  expect(scrape.value("sluice_health_check_seconds_count")).toBe(6);

  well = false;
  await balancer.checkHealth();
  expect((await endpoint.scrape()).value(`sluice_backend_healthy{${two}}`)).toBe(0);
  await balancer.update();
  const later = await endpoint.scrape();
  expect(later.text).not.toContain(one);
  expect(later.value(`sluice_backend_healthy{${two}}`)).toBe(0);
  expect(later.value('sluice_discovery_updates_total{balancer="origins",result="updated"}')).toBe(2);

  fixed.retire();
  expect((await endpoint.scrape()).text).not.toContain('balancer="fixed"');
});

test("an uncaught error is counted", async () => {
  await using endpoint = await Endpoint.start();
  process.emit("uncaughtExceptionMonitor", new Error("boom"), "uncaughtException");
  expect((await endpoint.scrape()).value("sluice_uncaught_errors_total")).toBe(1);
});

test("whatever clients send, there are no more series", async () => {
  await using endpoint = await Endpoint.start({ processMetrics: false });
  await using origin = await answering(OK);
  let number = 0;
  const failures: ProxyError[] = [];
  await using proxy = await startProxy({
    origin,
    requestFilter: (session) => (session.request.path === "/up" ? undefined : session.respond(200 + (number++ % 800))),
    logging: (_session, error) => void (error && failures.push(error)),
  });
  const hostile = (n: number): string[] => [
    `${"M".repeat(n + 1)} /${n} HTTP/1.1\r\nHost: h${n}\r\n\r\n`,
    `GET /${"x".repeat(n)}"\n\\ HTTP/1.1\r\n\r\n`,
    `GET /?${n} HTTP/1.${n}\r\nHost: h\r\nX-${n}: 1\r\n\r\n`,
    `GET /up HTTP/1.1\r\nHost: h\r\nContent-Length: ${n}x\r\n\r\n`,
    `\0${n}\r\n\r\n`,
    `GET /up HTTP/1.1\r\nHost: h${n}\r\nUpgrade: p${n}\r\nConnection: upgrade\r\n\r\n`,
  ];
  const run = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) {
      for (const request of hostile(n)) {
        const client = await proxy.send(request);
        await client.message().catch(() => undefined);
        client.close();
      }
    }
  };
  await run(0, 40);
  // Of those that answer well, each digit of a status is there by now.
  await exchange(proxy, get("/up"));
  number = 0;
  for (let n = 0; n < 800; n++) await exchange(proxy, get("/status"));
  const before = await endpoint.scrape();
  await run(40, 80);
  const after = await endpoint.scrape();
  const grown = [...after.values.keys()].filter((series) => !before.values.has(series));
  expect(grown).toEqual([]);
  expect(after.values.size).toBeLessThan(300);
  expect(failures.length).toBeGreaterThan(50);
});
