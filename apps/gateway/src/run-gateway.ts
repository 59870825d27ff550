import { logger, Server, type HttpService } from "@sluice/core";
import { activatedSockets, linuxHandover, reportToSystemd } from "@sluice/linux";
import { httpProxy } from "@sluice/proxy";
import { opensslTls } from "@sluice/tls-openssl";
import { AccessLogService } from "./access-log-service.ts";
import { GatewayApp, type Interceptor } from "./gateway-app.ts";
import type { GatewayConf } from "./gateway-conf.ts";
import { Router } from "./router.ts";
import { toListenSettings } from "./tls-conf.ts";
import { Upstream } from "./upstream.ts";

export interface GatewayOptions {
  /** Sees every request first. */
  intercept?: Interceptor;
  /** Called once it serves, in the process that was started. */
  onReady?: () => void;
  /** Take over the listening sockets of the gateway that runs. */
  upgrade?: boolean;
}

/**
 * Runs the gateway until a signal ends it.
 * @throws ProxyError `BindError` when an address cannot be listened on; nothing is left running.
 */
export async function runGateway(conf: GatewayConf, options: GatewayOptions = {}): Promise<void> {
  const { intercept, onReady, upgrade = false } = options;
  const server = new Server(conf, { upgrade, handover: linuxHandover(), inherited: activatedSockets() });
  reportToSystemd(server);
  const upstreams = new Map(Object.entries(conf.upstreams).map(([name, entry]) => [name, new Upstream(name, entry)]));
  for (const upstream of upstreams.values()) server.addService(upstream.balancer.service(`upstream ${upstream.name}`));
  const accessLog = conf.access_log === undefined ? undefined : new AccessLogService(conf.access_log);
  if (accessLog !== undefined) server.addService(accessLog);
  const proxy = httpProxy(server, new GatewayApp(createRouter(conf, upstreams), intercept, accessLog), {
    name: "gateway",
    tls: opensslTls(),
    http2: { h2c: conf.h2c },
    ...(conf.request_id && { requestId: true }),
  });
  for (const listener of conf.listeners) listen(proxy, listener);
  server.addService(proxy);
  server.onPhase((phase) => {
    if (phase !== "Running" || server.worker !== undefined) return;
    logger("gateway").info({ addresses: proxy.addresses, workers: conf.threads }, "listening");
    onReady?.();
  });
  await server.run();
}

function listen(proxy: HttpService, { address, ...conf }: GatewayConf["listeners"][number]): void {
  const { backlog, max_connections: maxConnections, max_connections_per_client: maxConnectionsPerClient } = conf;
  const options = {
    ...(backlog !== undefined && { backlog }),
    ...(maxConnections !== undefined && { maxConnections }),
    ...(maxConnectionsPerClient !== undefined && { maxConnectionsPerClient }),
    ...(conf.ipv6_only !== undefined && { ipv6Only: conf.ipv6_only }),
  };
  if (conf.tls !== undefined) proxy.listenTls(address, toListenSettings(conf.tls), options);
  else if (address.startsWith("unix:")) proxy.listenUnix(address.slice("unix:".length), options);
  else proxy.listenTcp(address, options);
}

function createRouter(conf: GatewayConf, upstreams: ReadonlyMap<string, Upstream>): Router<Upstream> {
  return new Router(
    conf.routes.map((route) => ({
      host: route.host,
      pathPrefix: route.path_prefix,
      // The schema has checked the name.
      target: upstreams.get(route.upstream)!,
    })),
  );
}
