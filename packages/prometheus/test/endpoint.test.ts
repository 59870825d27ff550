import { configureLogs, eventChannel, Server } from "@sluice/core";
import { connect } from "node:net";
import { turn } from "@sluice/core/testing";
import { prometheusService, type ProcessSnapshot, type PrometheusOptions } from "@sluice/prometheus";
import { Counter, Histogram, Registry, type OpenMetricsContentType } from "prom-client";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Wire } from "../../proxy/test/support/wire.ts";
import { Endpoint } from "./support/scrape.ts";

const OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT = "text/plain; version=0.0.4; charset=utf-8";
/** What Prometheus 3 sends. */
const PROMETHEUS =
  "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5," +
  "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3," +
  "text/plain;version=0.0.4;q=0.2,*/*;q=0.1";

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  configureLogs({ levels: "warn", destination: { write: (line) => void lines.push(line) } });
});
afterEach(() => configureLogs());

test("every metric has a help, a type and a name of ours, and counters end in _total", async () => {
  await using endpoint = await Endpoint.start({ processMetrics: false });
  const { text, names, response } = await endpoint.scrape();
  expect(response.headers.get("content-type")).toBe(TEXT);
  expect(response.headers.get("vary")).toBe("Accept");
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(names.length).toBeGreaterThan(20);
  expect(names.filter((name) => !name.startsWith("sluice_"))).toEqual([]);
  expect(new Set(names).size).toBe(names.length);
  expect([...text.matchAll(/^# HELP (\S+) \S/gm)].map(([, name]) => name)).toEqual(names);
  const counters = [...text.matchAll(/^# TYPE (\S+) counter/gm)].map(([, name]) => name!);
  expect(counters.filter((name) => !name.endsWith("_total"))).toEqual([]);
});

test("process metrics are there, unless they are not wanted", async () => {
  await using endpoint = await Endpoint.start();
  const scrape = await endpoint.scrape();
  expect(scrape.value("process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(scrape.value("process_resident_memory_bytes")).toBeGreaterThan(1e6);
  expect(scrape.names).toContain("nodejs_eventloop_lag_p99_seconds");
});

test("OpenMetrics and text alternate without harm to each other", async () => {
  const registry = new Registry();
  const own = new Counter({ name: "shop_orders_total", help: 'Orders: "all" of \\ them.', registers: [registry] });
  own.inc(3);
  await using endpoint = await Endpoint.start({ registry, processMetrics: false });
  const before = await endpoint.scrape();
  const open = await endpoint.scrape("/metrics", OPEN_METRICS);
  const after = await endpoint.scrape();
  expect(open.response.headers.get("content-type")).toBe(OPEN_METRICS);
  expect(open.text).toMatch(/\n# EOF\n$/);
  expect(open.text).toContain(
    '# HELP shop_orders Orders: \\"all\\" of \\\\ them.\n# TYPE shop_orders counter\nshop_orders_total 3\n',
  );
  expect(open.text).toContain('sluice_request_duration_seconds_bucket{le="1.0"} 0\n');
  expect(open.text).toContain('sluice_request_duration_seconds_bucket{le="0.005"} 0\n');
  expect(after.text).toContain(
    '# HELP shop_orders_total Orders: "all" of \\\\ them.\n# TYPE shop_orders_total counter\nshop_orders_total 3\n',
  );
  expect(after.text).toContain('sluice_request_duration_seconds_bucket{le="1"} 0\n');
  expect(after.names).toEqual(before.names);
});

test("label values are escaped, and exemplars are shown where they can be", async () => {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const odd = new Counter({ name: "odd_total", help: "Odd.", labelNames: ["what"], registers: [registry] });
  odd.inc({ what: 'a"b\\c\nd' });
  const timed = new Histogram({
    name: "timed",
    help: "Timed.",
    labelNames: [],
    buckets: [1, 2],
    enableExemplars: true,
    registers: [registry],
  });
  timed.observe({ labels: {}, value: 1.5, exemplarLabels: { trace_id: "abc" } });
  await using endpoint = await Endpoint.start({ registry, processMetrics: false });
  const { text } = await endpoint.scrape();
  expect(text).toContain('odd_total{what="a\\"b\\\\c\\nd"} 1\n');
  expect(text).toContain('timed_bucket{le="2"} 1\n');
  expect((await endpoint.scrape("/metrics", OPEN_METRICS)).text).toMatch(
    /timed_bucket\{le="2.0"\} 1 # \{trace_id="abc"\} 1.5 \d+/,
  );
});

describe("the format", () => {
  test.each([
    [PROMETHEUS, OPEN_METRICS],
    ["*/*", TEXT],
    ["text/html,*/*;q=0.8", TEXT],
    ["application/openmetrics-text", OPEN_METRICS],
    ["application/openmetrics-text;q=0.2,text/plain;q=0.7", TEXT],
    ["application/openmetrics-text;version=0.0.1", TEXT],
    ["application/*;q=0.9,text/*;q=0.1", OPEN_METRICS],
    ["application/openmetrics-text;q=nonsense", TEXT],
    ["image/png", TEXT],
    [",;,=;q", TEXT],
  ])("for %s", async (accept, expected) => {
    await using endpoint = await Endpoint.start({ processMetrics: false });
    const { response } = await endpoint.scrape("/metrics", accept);
    expect(response.headers.get("content-type")).toBe(expected);
  });
});

test("HEAD has the fields alone; other methods, other paths and requests that cannot be read are refused", async () => {
  await using endpoint = await Endpoint.start({ processMetrics: false, path: "/-/numbers" });
  const head = await endpoint.fetch("/-/numbers?x=1", { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  expect(Number(head.headers.get("content-length"))).toBeGreaterThan(1000);
  const post = await endpoint.fetch("/-/numbers", { method: "POST", body: "x".repeat(100_000) });
  expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  const other = await endpoint.fetch("/metrics");
  expect(other.status).toBe(404);
  expect(await other.text()).toContain("/-/numbers");
  expect((await endpoint.fetch("/-/numbers/workers")).status).toBe(200);
});

test("a request that cannot be read gets a 400, and its connection is closed", async () => {
  await using endpoint = await Endpoint.start({ processMetrics: false });
  const [host, port] = endpoint.service.addresses[0]!.split(":");
  await using wire = new Wire(connect(Number(port), host));
  wire.send("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  expect((await wire.message()).status).toBe(400);
  await wire.whenEnded();
});

test("a client that leaves while its answer is made is no trouble", async () => {
  const registry = new Registry();
  const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  void new Counter({
    name: "slow_total",
    help: "Slow.",
    registers: [registry],
    async collect() {
      asked.resolve();
      await answer.promise;
    },
  });
  await using endpoint = await Endpoint.start({ registry, processMetrics: false });
  const [host, port] = endpoint.service.addresses[0]!.split(":");
  const wire = new Wire(connect(Number(port), host));
  wire.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  await asked.promise;
  wire.reset();
  await new Promise((resolve) => wire.socket.once("close", resolve));
  while (endpoint.service.connectionCount > 0) await turn();
  answer.resolve();
  expect((await endpoint.scrape()).value("slow_total")).toBe(0);
  expect(lines).toEqual([]);
});

test("a metric that cannot be collected is a 500, and the next scrape is answered", async () => {
  const registry = new Registry();
  let fails = true;
  void new Counter({
    name: "shaky_total",
    help: "Shaky.",
    registers: [registry],
    collect() {
      if (fails) throw new Error("no");
    },
  });
  await using endpoint = await Endpoint.start({ registry, processMetrics: false });
  const failed = await endpoint.fetch();
  expect([failed.status, await failed.text()]).toEqual([500, "metrics could not be collected; the log says why\n"]);
  expect(lines.join("")).toContain('"message":"no"');
  fails = false;
  expect((await endpoint.scrape()).value("shaky_total")).toBe(0);
});

test("alone, a process is one worker", async () => {
  await using endpoint = await Endpoint.start({ worker: "1", processMetrics: false });
  const scrape = await endpoint.scrape("/metrics/workers");
  expect(scrape.value('sluice_retries_total{worker="1"}')).toBe(0);
});

test("a process in which the service is not started gives its last values when its server has stopped", async () => {
  const registry = new Registry();
  const own = new Counter({ name: "shop_orders_total", help: "Orders.", registers: [registry] });
  own.inc(2);
  const published: ProcessSnapshot[] = [];
  const none = (): void => undefined;
  const bus = {
    answer: () => none,
    ask: async () => [],
    subscribe: () => none,
    publish: (_: object, snapshot: unknown) => void published.push(snapshot as ProcessSnapshot),
  };
  const metrics = prometheusService(new Server(), { registry, bus, worker: "7" });
  const phases = eventChannel<object>("sluice:server:phase");
  phases.publish({ phase: "ShutdownStarted", atMs: 1 });
  await turn();
  eventChannel<object>("sluice:proxy:hook-error").publish({ phase: "logging" });
  phases.publish({ phase: "ShutdownRuntimes", atMs: 2 });
  expect(published).toHaveLength(1);
  const [{ worker, pid, families }] = published as [ProcessSnapshot];
  expect([worker, pid]).toEqual(["7", process.pid]);
  const valueOf = (name: string): unknown => families.find((family) => family.name === name)?.values[0]?.value;
  expect(["shop_orders_total", "sluice_hook_errors_total"].map(valueOf)).toEqual([2, 1]);
  expect(families.map(({ name }) => name).toSorted()).toEqual(
    [...new Set(families.map(({ name }) => name))].toSorted(),
  );
  await metrics.close();
  expect(published).toHaveLength(1);
});

test("workers are called as the server calls them, whoever takes their place", async () => {
  const none = (): void => undefined;
  const snapshot = (pid: number, value: number): ProcessSnapshot => ({
    worker: String(pid),
    pid,
    instance: `${pid}`,
    families: [{ name: "n_total", help: "n", type: "counter", values: [{ labels: {}, value }] }],
  });
  const snapshots = [snapshot(11, 1), snapshot(12, 2)];
  const bus = { answer: () => none, ask: async () => snapshots, subscribe: () => none, publish: none };
  await using endpoint = await Endpoint.start({ bus, processMetrics: false });
  const ready = eventChannel<object>("sluice:worker:ready");
  ready.publish({ worker: 1, pid: 11, startMs: 1 });
  const before = await endpoint.scrape("/metrics/workers");
  expect([1, 12].map((worker) => before.value(`n_total{worker="${worker}"}`))).toEqual([1, 2]);
  eventChannel<object>("sluice:worker:ended").publish({ worker: 1, pid: 11, cause: "killed" });
  ready.publish({ worker: 1, pid: 12, startMs: 1 });
  snapshots.shift();
  const after = await endpoint.scrape("/metrics/workers");
  expect(after.seriesOf("n_total").map((series) => [series, after.value(series)])).toEqual([
    ['n_total{worker="1"}', 2],
  ]);
  expect((await endpoint.scrape()).value("n_total")).toBe(3);
});

test("a registry can have one endpoint, and says so", async () => {
  const registry = new Registry();
  await using _endpoint = await Endpoint.start({ registry });
  expect(() => prometheusService(new Server(), { registry })).toThrow(/sluice_requests_total/);
});

test.each<[PrometheusOptions, RegExp]>([
  [{ path: "metrics" }, /path: expected a path such as \/metrics/],
  [{ path: "/metrics/" }, /path/],
  [{ collectMs: 0 }, /collectMs: expected more than 0/],
  [{ collectMs: "5" } as never, /collectMs: expected more than 0 .* got "5"/],
  [{ collectms: 1 } as never, /collectms/],
  [{ path: 5 } as never, /path: expected a path .* got 5/],
  [{ name: 5 } as never, /prometheusService: name: expected a string, got 5/],
  [{ worker: 1 } as never, /prometheusService: worker: expected a string, got 1/],
  [{ processMetrics: "no" } as never, /processMetrics: expected true or false, got "no"/],
  [{ registry: {} } as never, /registry: expected a Registry of prom-client, got an object/],
  [{ balancers: {} } as never, /balancers: expected an array of balancers, got an object/],
  [{ balancers: ["web"] } as never, /balancers: expected an array of balancers, got an array of 1/],
  [{ bus: true } as never, /bus: expected that of a server, or clusterBus\(\), got true/],
  [{ http1: { keepAliveMs: -1 } }, /keepAliveMs/],
])("an option that cannot be is refused: %j", (options, message) => {
  expect(() => prometheusService(new Server(), options)).toThrow(message);
});

test("no server is refused", () => {
  expect(() => prometheusService(undefined as never)).toThrow(
    "prometheusService: expected a Server first, got undefined",
  );
});
