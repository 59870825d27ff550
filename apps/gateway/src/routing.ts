import type { GatewayConf } from "./gateway-conf.ts";
import { toUpstreamSettings, type UpstreamSettings } from "./upstream-settings.ts";

/** What a reload changes: where requests go. Only data, and all of it, so that it can be sent to workers that then need no file. */
export interface Routing {
  readonly upstreams: Readonly<Record<string, UpstreamSettings>>;
  readonly routes: GatewayConf["routes"];
}

/** @throws ProxyError `ConfigError` for a file of an upstream that cannot be used. */
export function toRouting({ upstreams, routes }: GatewayConf): Routing {
  const settings = Object.entries(upstreams).map(([name, conf]) => [name, toUpstreamSettings(name, conf)] as const);
  return { upstreams: Object.fromEntries(settings), routes };
}
