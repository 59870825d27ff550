export type { BodyStep } from "./body-step.ts";
export {
  proxyChannels,
  type AttemptFailedMessage,
  type HookErrorMessage,
  type RequestAttemptMessage,
  type RequestEndMessage,
  type RequestResponseMessage,
  type RequestStartMessage,
} from "./channels.ts";
export { errorStatus } from "./error-answers.ts";
export type { FailToProxy } from "./fail-to-proxy.ts";
export { httpProxy, HttpProxy, HttpProxyService, type HttpProxyOptions } from "./http-proxy.ts";
export type { Outcome } from "./outcome.ts";
export type { Phase } from "./phase.ts";
export type { Awaitable, NotPromise, ProxyHttp } from "./proxy-http.ts";
export type { ProxyStatusOptions } from "./proxy-status.ts";
export { AccessLog, type AccessEntry, type AccessLogFormat, type AccessLogOptions } from "./access-log/access-log.ts";
export type { RequestBodyOptions } from "./request-body.ts";
export type { RequestIdOptions } from "./request-id.ts";
export type { Responded } from "./responded.ts";
export { defaultErrorWhileProxy } from "./retry-rule.ts";
export { Session, type RespondOptions } from "./session.ts";
export type { ModuleLookup } from "./session-modules.ts";
export {
  clientBody,
  presetBody,
  SavedBody,
  type ClientBody,
  type InputBody,
  type PresetBody,
} from "./subrequest/input-body.ts";
export { pipeSubrequest, type PipeSubrequestOptions } from "./subrequest/pipe-subrequest.ts";
export {
  PipeSubrequestError,
  type PipedSubrequest,
  type PipeSubrequestState,
} from "./subrequest/pipe-subrequest-error.ts";
export { PreparedSubrequest } from "./subrequest/prepared-subrequest.ts";
export type { SubrequestInfo } from "./subrequest/subrequest-info.ts";
export type { SubrequestLimits } from "./subrequest/subrequest-limits.ts";
export {
  SubrequestSpawner,
  type BackgroundSubrequestOptions,
  type SubrequestHost,
  type SubrequestOptions,
} from "./subrequest/subrequest-spawner.ts";
export type { Timing } from "./timing.ts";
export type { UpstreamCompression } from "./upstream-compression.ts";
// The words of a proxy's author, in one place.
export { HttpPeer, type PeerOptions, type SubrequestEvent, type SubrequestHandle } from "@sluice/core";
export { ProxyError } from "@sluice/error";
export { RequestHeader, ResponseHeader } from "@sluice/http";
