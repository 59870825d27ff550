/**
 * What happened. The names are Pingora's; those with no counterpart there are marked "ours".
 *
 * Any other string is a type of your own: `new ProxyError("QuotaExceeded")`.
 */
export type ErrorType = KnownErrorType | (string & {});

/** The types that Sluice's own packages raise or treat specially. */
export type KnownErrorType = keyof typeof ERROR_TYPES;

/** Every known type with its meaning, for documentation and for tests. */
export const ERROR_TYPES = {
  ConnectTimedout: "establishing the connection took longer than its limit, or the system reported a timeout",
  ConnectRefused: "the system reported: connection refused",
  ConnectNoRoute: "the system reported: network or host unreachable",
  TLSHandshakeFailure: "the TLS handshake failed",
  TLSHandshakeTimedout: "the TLS handshake took longer than its limit",
  InvalidCert: "a certificate did not verify or could not be loaded",
  HandshakeError: "another handshake failed, such as the HTTP/2 preface",
  ConnectError: "connecting failed in another way",
  NoPeer: "no upstream could be chosen (ours)",
  BindError: "a local address is not available or could not be bound",
  AcceptError: "accepting a connection failed",
  SocketError: "creating or configuring a socket failed",
  ConnectProxyFailure: "a CONNECT proxy on the way to the upstream refused",
  InvalidHTTPHeader: "a message head is malformed, too large or has illegal framing fields",
  InvalidChunk: "a chunked body breaks its grammar or a limit",
  InvalidTrailerEnd: "a trailer section breaks its grammar or a limit",
  PrematureBodyEnd: "a body ended before its Content-Length was reached by whoever produced it",
  InvalidContentCoding: "a body is not in the coding that its head names, or decompresses to more than a limit (ours)",
  UnexpectedData: "the peer sent bytes where none may come (ours)",
  H2Error: "trouble on an HTTP/2 stream or connection",
  H2Downgrade: "the upstream asked for HTTP/1.1",
  InvalidH2: "the upstream sent invalid HTTP/2",
  PingTimedout: "the upstream did not answer an HTTP/2 PING in time",
  ReadError: "the system reported an error while reading",
  WriteError: "the system reported an error while writing",
  ReadTimedout: "the peer sent nothing for longer than the limit",
  WriteTimedout: "the peer took no bytes for longer than the limit",
  ConnectionClosed: "the peer closed before its message was complete",
  HTTPStatus: "the application wants this status returned",
  ConfigError: "the configuration is not valid (ours)",
  InternalError: "our own fault, or an error thrown by the code that uses us",
  UnknownError: "anything else",
} as const;
