import { downstreamTlsHint, upstreamTlsHint } from "@sluice/core";
import type { ProxyError } from "@sluice/error";

/** What to look at, for the causes that we know; `undefined` for others. */
export function errorHint(error: ProxyError, reused: boolean): string | undefined {
  const root = error.rootError();
  const byUpstream = error.source === "upstream";
  const tlsHint = byUpstream ? upstreamTlsHint(root) : downstreamTlsHint(root);
  if (tlsHint !== undefined) return tlsHint;
  if (root.detail === "server-stop")
    return "the server was stopped, and the grace period was over: see grace_period_seconds";
  switch (root.type) {
    case "ConnectRefused":
      return "nothing listens at that address: is the upstream running?";
    case "ConnectTimedout":
      return "no answer to the connection attempt: address wrong, host down, or a firewall that drops";
    case "ConnectNoRoute":
      return "the system has no route to that address";
    case "ConnectError":
      if (root.detail === "name-lookup")
        return "the name has no address: is it spelt right, and known to the name server?";
      return root.detail === "name-lookup-timeout"
        ? "the name server does not answer: see /etc/resolv.conf"
        : undefined;
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
        : "the upstream closed a fresh connection: did it crash, or does it speak another protocol?";
    case "ReadTimedout":
      return byUpstream ? "the upstream is slower than the peer's readMs" : undefined;
    case "InvalidHTTPHeader":
      if (!byUpstream) return undefined;
      if (root.detail === "not-http") return "the upstream does not speak HTTP/1 here: TLS, HTTP/2 or another port?";
      if (root.detail === "too-large")
        return "the head is larger than HTTP/1 allows here: see the connector's headLimits";
      return "the upstream's answer breaks the rules of HTTP/1; the error says which";
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
