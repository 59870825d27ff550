// For those who run a proxy.
export { CompressionDictionary } from "./compression/compression-dictionary.ts";
export { CompressionSettings, type CompressionOptions } from "./compression/compression-settings.ts";
export type { CompressionInfo } from "./compression/compression-run.ts";
export type { CompressionAlgorithm, ContentCoding, DecompressionAlgorithm } from "./compression/content-coding.ts";
export type { CompressionDecision, NoCompressionReason } from "./compression/decide.ts";
export { ResponseCompression, responseCompression } from "./compression/response-compression.ts";
export { ConfigError, type ConfigProblem } from "./config/config-error.ts";
export { loadYamlConfig, parseYamlConfig } from "./config/load-yaml.ts";
export {
  defaultServerConf,
  loadServerConf,
  serverConfShape,
  type LoadedServerConf,
  type ServerConf,
} from "./config/server-conf.ts";
export { checkOptionNames } from "./config/known-options.ts";
export { nearestName } from "./config/nearest-name.ts";
export { parseLogLevels, type LogLevel, type LogLevels } from "./log/levels.ts";
export { configureLogs, logger, type LogDestination, type Logger, type LogOptions } from "./log/logger.ts";
export {
  connectionChannels,
  eventChannel,
  observe,
  upstreamChannels,
  type ConnectionAcceptedMessage,
  type ConnectionClosedMessage,
  type ConnectionCloseReason,
  type ConnectionRejectedMessage,
  type ConnectionSummary,
  type EventChannel,
  type PoolStatus,
  type UpstreamClosedMessage,
  type UpstreamCloseReason,
  type UpstreamConnectedMessage,
  type UpstreamConnectFailedMessage,
  type UpstreamConnectStartMessage,
  type UpstreamPooledMessage,
} from "./diagnostics.ts";
export type { AcceptFilter } from "./listeners/accept-filter.ts";
export type { ListenOptions } from "./listeners/listener.ts";
export type { HttpModule, HttpModuleBuilder, HttpModuleExchange, HttpModuleType } from "./modules/http-module.ts";
export { HttpModules } from "./modules/http-modules.ts";
export { SocketAddress } from "./net/socket-address.ts";
export { Server } from "./server/server.ts";
export { backgroundService, type BackgroundTask } from "./services/background-service.ts";
export { HttpService } from "./services/http-service.ts";
export type { Service } from "./services/service.ts";
export type { ConnectStream } from "./upstreams/connect-stream.ts";
export { HttpPeer, type PeerOptions } from "./upstreams/http-peer.ts";

// For those who build on it: apps that are no proxy, balancers, protocols, TLS packages.
export type { ClientSession, ClientSessionEvents, RequestBody } from "./http/client-session.ts";
export type { ConnectionDigest, TlsDigest } from "./http/connection-digest.ts";
export type { HttpApp, ServerSession, ServerSessionEvents } from "./http/server-session.ts";
export { SessionLimits, type SessionLimitValues } from "./http/session-limits.ts";
export { removeHopByHop } from "./http1/hop-by-hop.ts";
export type { HeadLimits } from "./http1/head-limits.ts";
export type { Http1ServerOptions } from "./http1/server-options.ts";
export { CompressionRun } from "./compression/compression-run.ts";
export type { HttpModuleContext, ResponseEnd } from "./modules/http-module-context.ts";
export { nowMs } from "./net/clock.ts";
export type { ByteStream } from "./net/byte-stream.ts";
export type { SubrequestEvent } from "./subrequest/subrequest-event.ts";
export { SubrequestHandle, type SubrequestHandleOptions } from "./subrequest/subrequest-handle.ts";
export { subrequestHead } from "./subrequest/subrequest-head.ts";
export { SubrequestSession, type SubrequestBodyMode } from "./subrequest/subrequest-session.ts";
export { connectSocket, DEFAULT_CONNECT_MS, type ConnectOptions } from "./net/connect.ts";
export { HttpConnector, type HttpConnectorOptions } from "./upstreams/http-connector.ts";
export type { TlsProvider } from "./upstreams/tls-provider.ts";
