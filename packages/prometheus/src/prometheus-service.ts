import cluster from "node:cluster";
import {
  checkOptionNames,
  checkOptionType,
  eventChannel,
  HttpService,
  observe,
  shown,
  type Http1ServerOptions,
  type Server,
} from "@sluice/core";
import { Registry as PromRegistry } from "prom-client";
import { watchBalancers } from "./balancer-metrics.ts";
import { countClientConnections, countTls, countUpstreamConnections } from "./connection-metrics.ts";
import type { BalancerStatus, ServerPhase } from "./messages.ts";
import type { Registry } from "./metric.ts";
import { MetricsApp } from "./metrics-app.ts";
import type { MetricsBus } from "./metrics-bus.ts";
import { MetricsSource } from "./metrics-source.ts";
import { addProcessMetrics, countProcessEvents } from "./process-metrics.ts";
import { countRequests } from "./request-metrics.ts";

export interface PrometheusOptions {
  /** Name of the service, for logs. Default `Prometheus metrics`. */
  name?: string;
  /**
   * Where metrics are, those of your own included: `new Counter({ …, registers: [registry] })`. Default: a new one, which the service
   * has as `registry`. `register` of prom-client is the one that libraries use which were told nothing.
   */
  registry?: Registry;
  /** CPU, memory, event loop and garbage collection of the process, by the usual names. Default true. */
  processMetrics?: boolean;
  /** Balancers that neither check nor discover; those that do are found by themselves. */
  balancers?: readonly BalancerStatus[];
  /** Where the metrics are. Default `/metrics`; those by worker are below, at `/metrics/workers`. */
  path?: string;
  /** Sums the metrics of several processes. Default: this process is all there is. */
  bus?: MetricsBus;
  /** What this process is called among the others. Default: what the server calls the worker, or `node:cluster`; else its pid. */
  worker?: string;
  /** How long a scrape waits for other processes; a silent one counts with what it said last. Milliseconds, default 1000. */
  collectMs?: number;
  /** How scrapers are treated. */
  http1?: Partial<Http1ServerOptions>;
}

const OPTION_NAMES = ["name", "registry", "processMetrics", "balancers", "path", "bus", "worker", "collectMs", "http1"];

const serverPhase = eventChannel<ServerPhase>("sluice:server:phase");

/** The endpoint, and what counts behind it. */
export class PrometheusService extends HttpService {
  /** Runs once, where the workers are started, and not in each of them: it asks them. */
  readonly oncePerServer = true;
  /** Holds all metrics of this process. */
  readonly registry: Registry;
  readonly #source: MetricsSource;
  readonly #stopCounting: readonly (() => void)[];

  /** @internal Use {@link prometheusService}. */
  constructor(options: PrometheusOptions) {
    const path = checkPath(options.path ?? "/metrics");
    const collectMs = checkCollectMs(options.collectMs ?? 1000);
    const registry = options.registry ?? new PromRegistry();
    const source = new MetricsSource({
      registry,
      worker: options.worker ?? String(cluster.worker?.id ?? process.pid),
      instance: `${process.pid}-${Math.round(performance.timeOrigin)}`,
      bus: options.bus,
      collectMs,
    });
    super(options.name ?? "Prometheus metrics", new MetricsApp(source, path), options.http1);
    this.registry = registry;
    this.#source = source;
    if (options.processMetrics ?? true) addProcessMetrics(registry);
    this.#stopCounting = [
      countRequests(registry),
      countClientConnections(registry),
      countTls(registry),
      countUpstreamConnections(registry),
      watchBalancers(registry, options.balancers ?? []),
      countProcessEvents(registry),
      // In a worker, which does not start this service, nobody stops it either.
      observe(serverPhase, ({ phase }) => {
        if (phase === "ShutdownStarted") void source.prepareToClose();
        else if (phase === "ShutdownRuntimes") source.closeNow();
      }),
    ];
  }

  /** Ends as other services do; then the last values go to the other processes, and nothing is counted any more. */
  override async stop(force: AbortSignal): Promise<void> {
    await super.stop(force);
    await this.close();
  }

  /** Gives the last values to the other processes, and counts no more. For a process in which the service is not started. */
  async close(): Promise<void> {
    for (const stop of this.#stopCounting) stop();
    await this.#source.close();
  }
}

/**
 * Counts from now on, and serves what was counted:
 * `server.addService(prometheusService(server).listenTcp("127.0.0.1:9090"))`. Anybody who can connect can read it: listen where only
 * your own can.
 * @param server Where it is to run; it is not added by itself.
 * @throws TypeError or RangeError for an option that cannot be; Error when the registry has a metric of one of its names.
 */
export function prometheusService(server: Server, options: PrometheusOptions = {}): PrometheusService {
  checkOptions(server, options);
  // A server of several processes has one.
  const { bus } = server as Server & { readonly bus?: MetricsBus };
  return new PrometheusService(bus === undefined ? options : { bus, ...options });
}

function checkOptions(server: unknown, options: PrometheusOptions): void {
  if (typeof server !== "object" || server === null) {
    throw new TypeError(`prometheusService: expected a Server first, got ${shown(server)}`);
  }
  checkOptionNames("prometheusService", options, OPTION_NAMES);
  for (const name of ["name", "worker"] as const) checkOptionType("prometheusService", name, options[name], "string");
  checkOptionType("prometheusService", "processMetrics", options.processMetrics, "boolean");
  const { registry, balancers, bus } = options;
  if (registry !== undefined && typeof registry?.registerMetric !== "function") {
    throw expected("registry", "a Registry of prom-client", registry);
  }
  if (
    balancers !== undefined &&
    !(Array.isArray(balancers) && balancers.every((each) => Array.isArray(each?.backends)))
  ) {
    throw expected("balancers", "an array of balancers", balancers);
  }
  if (bus !== undefined && (typeof bus?.ask !== "function" || typeof bus.publish !== "function")) {
    throw expected("bus", "that of a server, or clusterBus()", bus);
  }
}

function expected(option: string, what: string, given: unknown): TypeError {
  return new TypeError(`prometheusService: ${option}: expected ${what}, got ${shown(given)}`);
}

function checkPath(path: string): string {
  if (typeof path !== "string" || !/^\/[!-"$->@-~]*[!-"$-.0->@-~]$/.test(path)) {
    throw new TypeError(`path: expected a path such as /metrics, without a slash at its end, got ${shown(path)}`);
  }
  return path;
}

function checkCollectMs(collectMs: number): number {
  if (typeof collectMs !== "number" || !(collectMs > 0 && collectMs <= 60_000)) {
    throw new RangeError(`collectMs: expected more than 0 and at most 60,000 milliseconds, got ${shown(collectMs)}`);
  }
  return collectMs;
}
