import type { PeerOptions } from "@sluice/core";
import type { UpstreamConf } from "./gateway-conf.ts";
import { toPeerTlsOptions } from "./tls-conf.ts";

/** All that an upstream is made of; what its files hold included, so that equal ones are the same upstream. */
export interface UpstreamSettings {
  readonly servers: UpstreamConf["servers"];
  readonly selection: UpstreamConf["selection"];
  readonly healthCheck: UpstreamConf["health_check"];
  readonly peer: PeerOptions;
}

/** @throws ProxyError `ConfigError` for a file that cannot be used. */
export function toUpstreamSettings(name: string, conf: UpstreamConf): UpstreamSettings {
  const { servers, selection, health_check: healthCheck } = conf;
  return { servers, selection, healthCheck, peer: toPeerOptions(name, conf) };
}

function toPeerOptions(name: string, conf: UpstreamConf): PeerOptions {
  const options: PeerOptions = conf.tls === undefined ? {} : toPeerTlsOptions(conf.tls, `upstreams.${name}.tls`);
  if (conf.http === "2") options.minHttpVersion = 2;
  if (conf.http === "negotiate") options.maxHttpVersion = 2;
  if (conf.connect_ms !== undefined) options.connectMs = conf.connect_ms;
  if (conf.read_ms !== undefined) options.readMs = conf.read_ms;
  if (conf.write_ms !== undefined) options.writeMs = conf.write_ms;
  if (conf.idle_ms !== undefined) options.idleMs = conf.idle_ms;
  return options;
}
