// For those who run a proxy.
export { CompressionDictionary } from "./compression/compression-dictionary.ts";
export { CompressionSettings, type CompressionOptions } from "./compression/compression-settings.ts";
export type { CompressionInfo } from "./compression/compression-run.ts";
export type { CompressionAlgorithm, ContentCoding, DecompressionAlgorithm } from "./compression/content-coding.ts";
export type { CompressionDecision, NoCompressionReason } from "./compression/decide.ts";
export { ResponseCompression, responseCompression } from "./compression/response-compression.ts";
export { GrpcWeb, grpcWeb } from "./grpc-web/grpc-web.ts";
export { ConfigError, type ConfigProblem } from "./config/config-error.ts";
export { readConfigFiles } from "./config/inherited-files.ts";
export { loadYamlConfig, parseYamlConfig } from "./config/load-yaml.ts";
export {
  completeServerConf,
  defaultServerConf,
  loadServerConf,
  parseServerConf,
  type LoadedServerConf,
  type ServerConf,
} from "./config/server-conf.ts";
export { serverConfShape } from "./config/server-conf-keys.ts";
export { configJsonSchema, serverConfJsonSchema, type JsonSchema } from "./config/json-schema.ts";
export { parseServerArgs, SERVER_ARGS_HELP, UsageError, type ServerArgs } from "./config/server-args.ts";
export { checkOptionNames, checkOptionType } from "./config/known-options.ts";
export { nearestName } from "./config/nearest-name.ts";
export { shown } from "./config/shown.ts";
export type { LogLevel } from "./log/levels.ts";
export { humanLog, type HumanLogOptions, type LogRecord } from "./log/human-log.ts";
export { checkLogFile } from "./log/check-log-file.ts";
export { LogFile, type LogFileOptions } from "./log/log-file.ts";
export { configureLogs, logger, type LogDestination, type Logger, type LogOptions } from "./log/logger.ts";
export {
  connectionChannels,
  eventChannel,
  observe,
  tlsChannels,
  upstreamChannels,
  type ConnectionAcceptedMessage,
  type ConnectionClosedMessage,
  type ConnectionCloseReason,
  type ConnectionRejectedMessage,
  type ConnectionSummary,
  type EventChannel,
  type PoolStatus,
  type TlsHandshakeFailedMessage,
  type TlsReloadedMessage,
  type UpstreamClosedMessage,
  type UpstreamCloseReason,
  type UpstreamConnectedMessage,
  type UpstreamConnectFailedMessage,
  type UpstreamConnectStartMessage,
  type UpstreamPooledMessage,
} from "./diagnostics.ts";
export type { AcceptFilter } from "./listeners/accept-filter.ts";
export type { ListenOptions, TcpKeepAlive } from "./listeners/listen-options.ts";
export type { Listener } from "./listeners/listener.ts";
export type { HttpModule, HttpModuleBuilder, HttpModuleExchange, HttpModuleType } from "./modules/http-module.ts";
export { HttpModules } from "./modules/http-modules.ts";
export { SocketAddress } from "./net/socket-address.ts";
export { busQuestion, busTopic, type BusQuestion, type BusTopic } from "./bus/bus-topic.ts";
export { ServerBus, type AskOptions, type PublishOptions } from "./bus/server-bus.ts";
export { phaseChannel, type ExecutionPhase, type PhaseMessage } from "./server/execution-phase.ts";
export type { FdHandover, ReceivedFds, ReceiveFdsOptions, SendFdsOptions } from "./server/fd-handover.ts";
export { handoverChannel, type HandoverMessage } from "./server/fd-handover.ts";
export {
  reloadChannel,
  reloadStartChannel,
  type ReloadHook,
  type ReloadMessage,
  type ReloadStartMessage,
} from "./server/reload.ts";
export { assumeAccount, checkHost, type HostProblem } from "./server/check-host.ts";
export { Server, type ServerOptions } from "./server/server.ts";
export { uncaughtErrorChannel, type UncaughtErrorMessage } from "./server/uncaught-errors.ts";
export {
  workerChannels,
  type WorkerDrainingMessage,
  type WorkerEndCause,
  type WorkerEndedMessage,
  type WorkerReadyMessage,
} from "./workers/worker-channels.ts";
export { backgroundService, type BackgroundTask } from "./services/background-service.ts";
export { HttpService, type HttpServiceOptions } from "./services/http-service.ts";
export type { Service } from "./services/service.ts";
export type { ClientCertificate, PeerTlsOptions } from "./tls/peer-tls.ts";
export { downstreamTlsHint, upstreamTlsHint } from "./tls/tls-hint.ts";
export {
  DEFAULT_HANDSHAKE_MS,
  DEFAULT_RELOAD_MS,
  type ClientCertificates,
  type OcspSource,
  type PemSource,
  type ResolvedCertificate,
  type TlsCertificate,
  type TlsListenSettings,
  type TlsVersion,
} from "./tls/tls-listen-settings.ts";
export type { ConnectStream } from "./upstreams/connect-stream.ts";
export { HttpPeer, type PeerOptions, type PeerProtocol } from "./upstreams/http-peer.ts";

// For those who build on it: apps that are no proxy, balancers, protocols, TLS packages.
export type { ClientSession, ClientSessionEvents, RequestBody } from "./http/client-session.ts";
export type { ConnectionDigest, PeerCertificate, TlsDigest } from "./http/connection-digest.ts";
export type { HttpApp, ServerSession, ServerSessionEvents } from "./http/server-session.ts";
export { SessionLimits, type SessionLimitValues } from "./http/session-limits.ts";
export { removeHopByHop } from "./http1/hop-by-hop.ts";
export type { HeadLimits } from "./http1/head-limits.ts";
export type { Http1ServerOptions } from "./http1/server-options.ts";
export type { Http2ServerOptions } from "./http2/server-options.ts";
export { CompressionRun } from "./compression/compression-run.ts";
export type { HttpModuleContext, ResponseEnd } from "./modules/http-module-context.ts";
export { nowMs } from "./net/clock.ts";
export type { ByteStream } from "./net/byte-stream.ts";
export { behindWholeTurn } from "./net/quiet-turn.ts";
export type { SubrequestEvent } from "./subrequest/subrequest-event.ts";
export { SubrequestHandle, type SubrequestHandleOptions } from "./subrequest/subrequest-handle.ts";
export { subrequestHead } from "./subrequest/subrequest-head.ts";
export { SubrequestSession, type SubrequestBodyMode } from "./subrequest/subrequest-session.ts";
export { connectSocket, DEFAULT_CONNECT_MS, type ConnectOptions } from "./net/connect.ts";
export { HttpConnector, type HttpConnectorOptions } from "./upstreams/http-connector.ts";
export { acceptedNames } from "./tls/accepted-names.ts";
export { partFrom, refuseConnection } from "./tls/farewell.ts";
export { WatchedSettings, type ReadSource } from "./tls/watched-settings.ts";
export { CertificateNames } from "./tls/certificate-names.ts";
export type { PeerTls } from "./tls/peer-tls.ts";
export type { SecuredStream, TlsAcceptor, TlsConnectOptions, TlsProvider } from "./tls/tls-provider.ts";
export { Roster, type RosterMember } from "./net/roster.ts";
export type { SocketTransport, TransportStream } from "./net/socket-transport.ts";
export { SocketReader, type ChunkReceiver, type OnRead } from "./net/socket-reader.ts";
