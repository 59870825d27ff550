import type { HttpService } from "@sluice/core";
import type { GatewayConf } from "./gateway-conf.ts";
import { toListenSettings } from "./tls-conf.ts";

/** Makes `service` listen as an entry of `listeners` says. */
export function listen(service: HttpService, { address, ...conf }: GatewayConf["listeners"][number]): void {
  const { backlog, max_connections: maxConnections, max_connections_per_client: maxConnectionsPerClient } = conf;
  const options = {
    ...(backlog !== undefined && { backlog }),
    ...(maxConnections !== undefined && { maxConnections }),
    ...(maxConnectionsPerClient !== undefined && { maxConnectionsPerClient }),
    ...(conf.ipv6_only !== undefined && { ipv6Only: conf.ipv6_only }),
  };
  if (conf.tls !== undefined) service.listenTls(address, toListenSettings(conf.tls), options);
  else if (address.startsWith("unix:")) service.listenUnix(address.slice("unix:".length), options);
  else service.listenTcp(address, options);
}
