import { logger, resolveConfigPath, Server } from "@sluice/core";
import { activatedSockets, linuxHandover, reportToSystemd } from "@sluice/linux";
import { httpProxy } from "@sluice/proxy";
import { opensslTls } from "@sluice/tls-openssl";
import { AccessLogService } from "./access-log-service.ts";
import { GatewayApp, type Interceptor } from "./gateway-app.ts";
import type { GatewayConf } from "./gateway-conf.ts";
import { listen } from "./listen.ts";
import { reportToSentry, serveMetrics } from "./observers.ts";
import { reloadGatewayConf } from "./reload-conf.ts";
import { Router } from "./router.ts";
import { toRouting, type Routing } from "./routing.ts";
import type { Upstream } from "./upstream.ts";
import { Upstreams } from "./upstreams.ts";
import { WatchedConf } from "./watched-conf.ts";

export interface GatewayOptions {
  /** Where `conf` was read, to be read again at a reload. Default: there is nothing to reload. */
  file?: string;
  /** Sees every request first. */
  intercept?: Interceptor;
  /** Called once it serves, in the process that was started. */
  onReady?: () => void;
  /** Take over the listening sockets of the gateway that runs. */
  upgrade?: boolean;
  /** Run in the background, whatever the file says. */
  daemon?: boolean;
}

/**
 * Runs the gateway until a signal ends it.
 * @throws ProxyError `BindError` when an address cannot be listened on; nothing is left running.
 */
export async function runGateway(conf: GatewayConf, options: GatewayOptions = {}): Promise<void> {
  const { file, intercept, onReady, upgrade = false, daemon = conf.daemon } = options;
  const handover = linuxHandover();
  const server = new Server({ ...conf, daemon }, { upgrade, handover, inherited: activatedSockets() });
  await reportToSentry(server, conf);
  await serveMetrics(server, conf);
  reportToSystemd(server);
  const routing = toRouting(conf);
  const upstreams = new Upstreams(routing.upstreams, (peer) => proxy.proxy.connector.retire(peer));
  server.addService(upstreams);
  const accessLog = conf.access_log === undefined ? undefined : new AccessLogService(conf.access_log);
  if (accessLog !== undefined) server.addService(accessLog);
  const app = new GatewayApp(createRouter(routing, upstreams.current), intercept, accessLog);
  const proxy = httpProxy(server, app, {
    name: "gateway",
    tls: opensslTls(),
    http2: { h2c: conf.h2c },
    ...(conf.request_id && { requestId: true }),
  });
  for (const listener of conf.listeners) listen(proxy, listener);
  server.addService(proxy);
  if (file !== undefined) reloadable(server, file, conf, app, upstreams);
  server.onPhase((phase) => {
    if (phase !== "Running" || server.worker !== undefined) return;
    logger("gateway").info({ addresses: proxy.addresses, workers: conf.threads }, "listening");
    onReady?.();
  });
  await server.run();
}

function reloadable(server: Server, file: string, conf: GatewayConf, app: GatewayApp, upstreams: Upstreams): void {
  const absolute = resolveConfigPath(file);
  server.onReload<Routing>({
    name: "routes and upstreams",
    load: () => toRouting(reloadGatewayConf(absolute, conf)),
    async apply(routing) {
      const changes = await upstreams.replace(routing.upstreams, (next) => app.routeBy(createRouter(routing, next)));
      // Workers do the same at the same time.
      if (server.worker === undefined) logger("gateway").info(changes, "upstreams and routes are those of the file");
    },
  });
  if (conf.reload_on_change) server.addService(new WatchedConf(absolute, () => server.reload()));
}

function createRouter({ routes }: Routing, upstreams: ReadonlyMap<string, Upstream>): Router<Upstream> {
  return new Router(
    routes.map((route) => ({
      host: route.host,
      pathPrefix: route.path_prefix,
      // The schema has checked the name.
      target: upstreams.get(route.upstream)!,
    })),
  );
}
