import { ResponseCompression, type ConnectionDigest, type ServerConf } from "@sluice/core";
import { HttpPeer, type HttpProxyOptions, type ProxyHttp } from "@sluice/proxy";
import { startProxy, type TestProxy } from "./proxy.ts";
import type { ReferenceOrigin } from "./reference-origin.ts";

export interface TriggerCtx {
  reused: boolean;
  upstream: ConnectionDigest | undefined;
}

export interface TriggerAppOptions {
  /** As Pingora: a request that was lost on a reused connection is sent again whatever its method. Default: ours. */
  resendAnyMethod?: boolean;
}

/**
 * The app of Pingora's acceptance tests: what a request is to show, its fields say, and what happened to it, the fields of its
 * response.
 *
 * | field of the request | effect |
 * |---|---|
 * | `x-port` | the port of the upstream, instead of the origin's first |
 * | `x-uds-peer` | the origin's Unix socket |
 * | `x-read-timeout-ms` | `readMs` of the peer |
 * | `x-write-timeout` | `writeMs` towards the client, in seconds |
 * | `x-min-rate` | `minSendBytesPerSecond` towards the client |
 * | `x-close-on-response-before-downstream-finish` | the connection closes after an early response, which is the default of a service but not of this app |
 * | `x-downstream-compression` | responses are compressed after the filters, instead of before them |
 *
 * | field of the response | meaning |
 * |---|---|
 * | `x-conn-reuse` | there if the upstream connection came from the pool |
 * | `x-client-addr`, `x-server-addr` | both ends of the client's connection, `unset` if not known |
 * | `x-upstream-client-addr`, `x-upstream-server-addr` | both ends of the upstream's |
 */
export function triggerApp(origin: ReferenceOrigin, options: TriggerAppOptions = {}): ProxyHttp<TriggerCtx> {
  return {
    newCtx: () => ({ reused: false, upstream: undefined }),

    earlyRequestFilter(session) {
      const after = session.request.has("x-downstream-compression");
      if (after) session.modules.get(ResponseCompression)?.setLevel(6);
      else session.upstreamCompression.setLevel(6);
    },

    requestFilter({ request, downstream: { limits } }) {
      const writeSeconds = request.get("x-write-timeout");
      if (writeSeconds !== undefined) limits.writeMs = Number(writeSeconds) * 1000;
      const rate = request.get("x-min-rate");
      if (rate !== undefined) limits.minSendBytesPerSecond = Number(rate);
      limits.earlyResponse = request.has("x-close-on-response-before-downstream-finish") ? "close" : "drain";
    },

    upstreamPeer({ request }) {
      const port = request.get("x-port") ?? origin.port;
      const address = request.has("x-uds-peer") ? `unix:${origin.unixPath}` : `127.0.0.1:${port}`;
      const readMs = request.get("x-read-timeout-ms");
      return new HttpPeer(address, readMs === undefined ? {} : { readMs: Number(readMs) });
    },

    connectedToUpstream(_session, reused, _peer, digest, ctx) {
      ctx.reused = reused;
      ctx.upstream = digest;
    },

    responseFilter(session, response, { reused, upstream }) {
      if (reused) response.set("x-conn-reuse", "1");
      response.set("x-client-addr", session.clientAddress ?? "unset");
      response.set("x-server-addr", session.serverAddress ?? "unset");
      response.set("x-upstream-client-addr", upstream?.localAddress ?? "unset");
      response.set("x-upstream-server-addr", upstream?.remoteAddress ?? "unset");
    },

    ...(options.resendAnyMethod === true && {
      errorWhileProxy: (peer, _session, error, _ctx, reused) =>
        error.moreContext(`Peer: ${peer.toString()}`).decideReuse(reused),
    }),
  };
}

/** A proxy with that app in front of `origin`. */
export function startTriggerProxy(
  origin: ReferenceOrigin,
  options: TriggerAppOptions & HttpProxyOptions = {},
  conf: Partial<ServerConf> = {},
): Promise<TestProxy<TriggerCtx>> {
  const { resendAnyMethod = false, ...proxyOptions } = options;
  return startProxy(triggerApp(origin, { resendAnyMethod }), proxyOptions, conf);
}
