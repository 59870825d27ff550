import { downstreamTlsHint, upstreamTlsHint } from "@sluice/core";
import type { ErrorDetail, ProxyError } from "@sluice/error";

/** Where the detail alone says it, whatever the type. */
const BY_DETAIL: { readonly [detail in ErrorDetail]?: string } = {
  "server-stop": "the server was stopped, and the grace period was over: see grace_period_seconds",
  "http2-rules": "the client breaks the rules of HTTP/2, as the error says",
  "name-lookup": "the name has no address: is it spelt right, and known to the name server?",
  "name-lookup-timeout": "the name server does not answer: see /etc/resolv.conf",
  "no-such-socket": "there is no socket at that path: is the upstream running, and the path right?",
  "no-permission":
    "this account may not connect there: see the permissions of the socket's path, and the system's rules",
  "tls-silent": "something listens there and does not speak TLS in time: another protocol, or an upstream that hangs",
  "http2-silent":
    "something listens there and does not begin to speak HTTP/2: an upstream of HTTP/1 needs minHttpVersion 1, one that hangs a restart",
  "no-stream":
    "all streams were in use: the upstream is slow, or takes few at a time; see the peer's maxH2Streams and connectMs",
};

/** What to look at, for the causes that we know; `undefined` for others. */
export function errorHint(error: ProxyError, reused: boolean): string | undefined {
  const root = error.rootError();
  const byUpstream = error.source === "upstream";
  const tlsHint = byUpstream ? upstreamTlsHint(root) : downstreamTlsHint(root);
  if (tlsHint !== undefined) return tlsHint;
  const byDetail = root.detail === undefined ? undefined : BY_DETAIL[root.detail];
  if (byDetail !== undefined) return byDetail;
  switch (root.type) {
    case "ConnectRefused":
      return "nothing listens at that address: is the upstream running?";
    case "ConnectTimedout":
      return "no answer to the connection attempt: address wrong, host down, or a firewall that drops";
    case "ConnectNoRoute":
      return "the system has no route to that address";
    case "TLSHandshakeFailure":
      return byUpstream
        ? "the upstream ended the TLS handshake and did not say why: does it speak TLS there, and know the peer's sni?"
        : undefined;
    case "InvalidCert":
      return byUpstream ? "the upstream's certificate cannot be trusted; the error says why" : undefined;
    case "BindError":
      return "the local address to connect from is not this machine's";
    case "SocketError":
      return "the process may be out of file descriptors: see ulimit -n";
    case "NoPeer":
      return "no upstream is available: see the health checks";
    case "ConnectionClosed":
    case "ReadError":
    case "WriteError":
      if (!byUpstream) return undefined;
      if (root.detail === "response-body") return "the upstream ended in the middle of its response: did it crash?";
      return reused
        ? "the upstream closed a reused connection: it was stopped, or its keep-alive time is shorter than the peer's idleMs"
        : "the upstream closed a fresh connection: did it crash, or does it speak another protocol there, such as TLS?";
    case "ReadTimedout":
      return byUpstream ? "the upstream is slower than the peer's readMs" : undefined;
    case "WriteTimedout":
      return byUpstream ? "the upstream takes the request more slowly than the peer's writeMs allows" : undefined;
    case "InvalidHTTPHeader":
      if (error.source === "internal" && root.detail === "too-large")
        return "the request's head is too large for the upstream: the client's cookies, or fields that a filter adds; HTTP/1 may take more";
      if (!byUpstream) return undefined;
      if (root.detail === "not-http")
        return "the upstream does not speak HTTP/1 here: TLS, HTTP/2 (see minHttpVersion of the peer) or another port?";
      if (root.detail === "too-large") return "the head is larger than is allowed here: see the connector's headLimits";
      if (root.detail === "unknown-coding")
        return "the upstream uses a transfer coding other than chunked, which no request asks for";
      return "the upstream's answer breaks the rules of HTTP/1; the error says which";
    case "InvalidChunk":
    case "InvalidTrailerEnd":
      return byUpstream ? "the upstream's body breaks the rules of HTTP/1; the error says which" : undefined;
    case "H2Error":
      return byUpstream
        ? "HTTP/2 ended it for the reason that the error names; the upstream's own log should say more"
        : undefined;
    case "InvalidH2":
      return byUpstream
        ? "the upstream and we do not agree on the rules of HTTP/2; the error says on which. maxHttpVersion 1 speaks HTTP/1 with it"
        : undefined;
    case "HandshakeError":
      return byUpstream ? "does the upstream speak HTTP/2 here? minHttpVersion 1 lets it speak HTTP/1" : undefined;
    case "H2Downgrade":
      return "the upstream wants HTTP/1.1 for this: maxHttpVersion 1, or minHttpVersion 1 with TLS, lets it";
    case "PingTimedout":
      return "the connection is dead: was the upstream's host stopped, or does something on the way drop it?";
    case "InternalError":
      return root.detail === "content-length"
        ? "a body filter gave more bytes than Content-Length says: remove that field in the filter of the head"
        : undefined;
    case "PrematureBodyEnd":
      return "a body filter gave fewer bytes than Content-Length says: remove that field in the filter of the head";
    default:
      return undefined;
  }
}
