import type { Server } from "@sluice/core";
import { listen } from "./listen.ts";
import type { GatewayConf } from "./gateway-conf.ts";

/**
 * Reports to Sentry from now on, if the file says so. Loaded only then: what is not used costs no time at the start.
 * @returns How to report what ends the server, and to wait until it is sent.
 */
export async function reportToSentry(
  server: Server,
  { sentry: conf }: GatewayConf,
): Promise<(error: unknown) => Promise<void>> {
  if (conf === undefined) return () => Promise.resolve();
  const { sentryReporter } = await import("@sluice/sentry");
  const { dsn, environment, release, server_name: serverName } = conf;
  const reporter = sentryReporter({
    dsn,
    sample: conf.sample_rates,
    maxPerMinute: conf.max_per_minute,
    clientAddress: conf.client_address,
    ...(environment !== undefined && { environment }),
    ...(release !== undefined && { release }),
    ...(serverName !== undefined && { serverName }),
  });
  server.addService(reporter);
  return async (error) => {
    reporter.capture(error, { level: "fatal", tags: { part: "life" } });
    await reporter.flush();
  };
}

/** Counts from now on, and serves the metrics, if the file says so. */
export async function serveMetrics(server: Server, { metrics: conf }: GatewayConf): Promise<void> {
  if (conf === undefined) return;
  const { prometheusService } = await import("@sluice/prometheus");
  const service = prometheusService(server, { path: conf.path });
  listen(service, { address: conf.address });
  server.addService(service);
}
