import { logger, Server, type Service } from "@sluice/core";
import { httpProxy } from "@sluice/proxy";
import { GatewayApp, type Interceptor } from "./gateway-app.ts";
import type { GatewayConf } from "./gateway-conf.ts";
import { Router } from "./router.ts";
import { Upstream } from "./upstream.ts";

export interface GatewayOptions {
  /** Sees every request first. */
  intercept?: Interceptor;
  /** Called once all addresses are bound. */
  onReady?: () => void;
}

/**
 * Runs the gateway until a signal ends it.
 * @throws ProxyError `BindError` when an address cannot be listened on; nothing is left running.
 */
export async function runGateway(conf: GatewayConf, options: GatewayOptions = {}): Promise<void> {
  const server = new Server(conf);
  const upstreams = new Map(Object.entries(conf.upstreams).map(([name, entry]) => [name, new Upstream(name, entry)]));
  for (const upstream of upstreams.values()) server.addService(upstream.balancer.service(`upstream ${upstream.name}`));
  const proxy = httpProxy(server, new GatewayApp(createRouter(conf, upstreams), options.intercept), {
    name: "gateway",
  });
  for (const { address } of conf.listeners) {
    if (address.startsWith("unix:")) proxy.listenUnix(address.slice("unix:".length));
    else proxy.listenTcp(address);
  }
  server.addService(proxy);
  server.addService(
    announcement(() => {
      logger("gateway").info({ addresses: proxy.addresses }, "listening");
      options.onReady?.();
    }),
  );
  await server.run();
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

/** Services start one after the other; this one, added last, starts when all others are ready. */
function announcement(announce: () => void): Service {
  return {
    name: "announcement",
    start: () => {
      announce();
      return Promise.resolve();
    },
    stop: () => Promise.resolve(),
  };
}
