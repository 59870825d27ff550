import type { HttpService, ListenOptions } from "@sluice/core";
import { setBufferSizes, setFastOpen, setKeepAlive, setTypeOfService } from "@sluice/linux";
import type { GatewayConf } from "./gateway-conf.ts";
import { toListenSettings } from "./tls-conf.ts";

type ListenerConf = GatewayConf["listeners"][number];

/** Makes `service` listen as an entry of `listeners` says. */
export function listen(service: HttpService, conf: ListenerConf): void {
  const { address } = conf;
  const options = toListenOptions(conf);
  if (conf.tls !== undefined) service.listenTls(address, toListenSettings(conf.tls), options);
  else if (address.startsWith("unix:")) service.listenUnix(address.slice("unix:".length), options);
  else service.listenTcp(address, options);
}

function toListenOptions(conf: ListenerConf): ListenOptions {
  const { backlog, max_connections: maxConnections, max_connections_per_client: maxConnectionsPerClient } = conf;
  const { ipv6_only: ipv6Only, so_reuseport: reusePort, tcp_keepalive: keepalive } = conf;
  const onBound = optionsOfLinux(conf);
  return {
    ...(backlog !== undefined && { backlog }),
    ...(maxConnections !== undefined && { maxConnections }),
    ...(maxConnectionsPerClient !== undefined && { maxConnectionsPerClient }),
    ...(ipv6Only !== undefined && { ipv6Only }),
    ...(reusePort !== undefined && { reusePort }),
    ...(conf.mode !== undefined && { mode: Number.parseInt(conf.mode, 8) }),
    ...(keepalive !== undefined && {
      keepAlive: {
        idleMs: keepalive.idle_seconds * 1000,
        intervalMs: keepalive.interval_seconds * 1000,
        count: keepalive.count,
      },
    }),
    ...(onBound !== undefined && { onBound }),
  };
}

/** What is set on the listening socket, from which connections inherit it; `undefined` when there is nothing. */
function optionsOfLinux(conf: ListenerConf): ((fd: number) => void) | undefined {
  const { tcp_fastopen: fastOpen, dscp, tcp_snd_buf: sendBytes, tcp_recv_buf: receiveBytes } = conf;
  const userTimeoutMs = conf.tcp_keepalive?.user_timeout_ms;
  if ([fastOpen, dscp, sendBytes, receiveBytes, userTimeoutMs].every((value) => value === undefined)) return undefined;
  return (fd) => {
    if (fastOpen !== undefined) setFastOpen(fd, fastOpen);
    // The two low bits are those of congestion notification (RFC 3168).
    if (dscp !== undefined) setTypeOfService(fd, dscp << 2);
    setBufferSizes(fd, {
      ...(sendBytes !== undefined && { sendBytes }),
      ...(receiveBytes !== undefined && { receiveBytes }),
    });
    if (userTimeoutMs !== undefined) setKeepAlive(fd, { userTimeoutMs });
  };
}
