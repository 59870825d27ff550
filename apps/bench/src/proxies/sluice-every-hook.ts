// Sluice with every hook there is, those of sluice.ts at work and all others doing nothing: what a hook costs that is only there.
import { defaultErrorWhileProxy } from "@sluice/proxy";
import { serveSluice } from "../sluice-app.ts";

await serveSluice({
  hooks: {
    initUpstreamModules: () => undefined,
    onConnectionReuse: () => undefined,
    earlyRequestFilter: () => undefined,
    allowSpawningSubrequest: () => false,
    proxyUpstreamFilter: () => undefined,
    failToConnect: (_session, _peer, _ctx, error) => error,
    connectedToUpstream: () => undefined,
    requestBodyFilter: () => undefined,
    requestTrailerFilter: () => undefined,
    adjustUpstreamModules: () => undefined,
    upstreamResponseFilter: () => undefined,
    upstreamResponseBodyFilter: () => undefined,
    responseBodyFilter: () => undefined,
    upstreamResponseTrailerFilter: () => undefined,
    responseTrailerFilter: () => undefined,
    errorWhileProxy: (peer, session, error, _ctx, reused) => defaultErrorWhileProxy(peer, session, error, reused),
    errorPage: () => undefined,
    suppressErrorLog: () => false,
    requestSummary: (session) => session.request.target,
    persistConnectionContext: () => undefined,
  },
});
