import path from "node:path";
import { logger, Server } from "@sluice/core";
import { activatedSockets, linuxHandover, reportToSystemd } from "@sluice/linux";
import { httpProxy } from "@sluice/proxy";
import { AccessLogCheck, AccessLogService, type AccessLogConf } from "./access-log-service.ts";
import { GatewayApp, type Interceptor } from "./gateway-app.ts";
import type { GatewayConf } from "./gateway-conf.ts";
import { listen } from "./listen.ts";
import { reportToSentry, serveMetrics } from "./observers.ts";
import { reloadGatewayConf } from "./reload-conf.ts";
import { Router } from "./router.ts";
import { toRouting, type Routing } from "./routing.ts";
import type { Upstream } from "./upstream.ts";
import { toTlsProvider } from "./tls-conf.ts";
import { toTransport } from "./transport.ts";
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
  const handover = linuxHandover({ onError: warnThat("a hand-over was not as it should be") });
  const server = new Server({ ...conf, daemon }, { upgrade, handover, inherited: activatedSockets() });
  const report = await reportToSentry(server, conf);
  await serveMetrics(server, conf);
  reportToSystemd(server, { onError: warnThat("systemd could not be told") });
  const routing = toRouting(conf);
  const upstreams = new Upstreams(routing.upstreams, (peer) => proxy.proxy.connector.retire(peer));
  server.addService(upstreams);
  const accessLog = new AccessLogService(conf.access_log);
  const accessLogCheck = new AccessLogCheck(conf.access_log);
  server.addService(accessLogCheck, { after: [] });
  server.addService(accessLog, { after: [accessLogCheck] });
  const app = new GatewayApp(createRouter(routing, upstreams.current), intercept, accessLog);
  const transport = toTransport(conf);
  const proxy = httpProxy(server, app, {
    name: "gateway",
    tls: toTlsProvider(conf, transport),
    transport,
    http2: { h2c: conf.h2c },
    ...(conf.request_id && { requestId: true }),
  });
  for (const listener of conf.listeners) listen(proxy, listener);
  server.addService(proxy);
  if (file !== undefined) reloadable(server, file, conf, { app, upstreams, accessLog });
  server.onPhase((phase) => {
    if (phase !== "Running" || server.worker !== undefined) return;
    logger("gateway").info({ addresses: proxy.addresses, workers: conf.threads }, "listening");
    onReady?.();
  });
  try {
    await server.run();
  } catch (error) {
    // It cannot start or take over, or is ended by an error that nobody caught, which is known already. Of a worker it is told here, too.
    if (server.worker === undefined) await report(error);
    throw error;
  }
}

/** A line like all others, and not a warning of the runtime. */
function warnThat(what: string): (err: unknown) => void {
  return (err) => logger("gateway").warn({ err }, what);
}

/** What a reload changes something in. */
interface Reloadable {
  readonly app: GatewayApp;
  readonly upstreams: Upstreams;
  readonly accessLog: AccessLogService;
}

function reloadable(server: Server, file: string, conf: GatewayConf, { app, upstreams, accessLog }: Reloadable): void {
  // A daemon leaves the folder that it was started in.
  const absolute = path.resolve(file);
  server.onReload<{ routing: Routing; access: AccessLogConf }>({
    name: "routes, upstreams and the access log",
    load() {
      const next = reloadGatewayConf(absolute, conf);
      return { routing: toRouting(next), access: next.access_log };
    },
    async apply({ routing, access }) {
      accessLog.replace(access);
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
