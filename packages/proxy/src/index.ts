export { errorStatus } from "./error-status.ts";
export { defaultFailToProxy } from "./fail-to-proxy.ts";
export { httpProxy, HttpProxy, HttpProxyService, type HttpProxyOptions } from "./http-proxy.ts";
export type { Phase } from "./phase.ts";
export type { Awaitable, ProxyHttp } from "./proxy-http.ts";
export type { Responded } from "./responded.ts";
export { defaultErrorWhileProxy } from "./retry-rule.ts";
export { Session, type RespondOptions } from "./session.ts";
// The words of a proxy's author, in one place.
export { HttpPeer, type PeerOptions } from "@sluice/core";
export { ProxyError } from "@sluice/error";
export { RequestHeader, ResponseHeader } from "@sluice/http";
