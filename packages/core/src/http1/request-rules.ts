import type { RequestHeader } from "@sluice/http";
import { trimOws, type Framing } from "./framing.ts";
import { malformed, quoteAuthority } from "./reject.ts";

const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//;
const ABSOLUTE = /^(https?):\/\/([^/?]*)(.*)$/i;
// RFC 3986, section 3.2.2, without the user part: a host with an optional port. No list, no space, no path.
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(?::\d*)?$/;

// In these, further HTTP requests follow: RFC 7540, section 3.2; RFC 2817, section 3; RFC 9110, section 2.5.
const CARRIES_HTTP = /^(?:h2c|http|tls)(?:\/|$)/i;

/** The value that passed last: most requests to a server name the same host, and comparing costs a quarter of matching. */
let goodHost: string | undefined;

/**
 * What a request must satisfy beyond the grammar of its lines.
 * @throws ProxyError `InvalidHTTPHeader` with status 400 (or 417, 501).
 */
export function checkRequest(request: RequestHeader, framing: Framing): void {
  // RFC 9112, section 6.1: a 1.0 peer cannot be trusted to understand chunked.
  if (framing.hasTransferEncoding && request.version === "1.0") throw malformed("Transfer-Encoding in HTTP/1.0");
  // RFC 9112, section 3.2.
  if (framing.hosts > 1) throw malformed("more than one Host");
  if (framing.hosts === 0) {
    if (request.version !== "1.0") throw malformed("no Host in HTTP/1.1");
  } else {
    const { host } = framing;
    if (!isHost(host)) throw malformed(`a Host that is none: ${quoteAuthority(host)}`);
  }
  // RFC 9110, section 10.1.1: 100-continue is the only expectation there is, and none in HTTP/1.0.
  if (framing.unknownExpectation && request.version !== "1.0") throw malformed("an expectation that is not known", 417);
  checkTargetForm(request.method, request.target);
  // RFC 9110, section 9.3.6: it has none; what follows would be a body to one reader, and the tunnel to another.
  if (request.method === "CONNECT" && (framing.hasTransferEncoding || framing.contentLength > 0))
    throw malformed("a CONNECT with content");
}

/** A `host` or `host:port`, without a user (RFC 9110, section 4.2.4). An empty one is one, too. */
export function isHost(text: string): boolean {
  if (text === goodHost) return true;
  if (text.startsWith(":") || !HOST.test(text)) return false;
  goodHost = text;
  return true;
}

/** RFC 9112, section 9.3. One whose framing is contradictory is not trusted further (section 6.1). */
export function wantsKeepAlive(request: RequestHeader, framing: Framing): boolean {
  if (framing.close || framing.contradictory) return false;
  return request.version === "1.1" || framing.keepAlive;
}

/**
 * The protocols that a request asks to change to, as far as they may go on; `undefined` if none may. RFC 9110, section 7.8: an
 * Upgrade is to be ignored in HTTP/1.0, meant for us only if Connection names it, and may be ignored always. CONNECT is a
 * change of its own.
 *
 * What carries further HTTP requests goes no further: no hook would see these, so by asking for `h2c` a client could get past
 * all that hooks forbid. RFC 9113, section 3.1, has given it up.
 */
export function wantedUpgrade(request: RequestHeader, framing: Framing): string | undefined {
  const { upgrade } = framing;
  if (upgrade === undefined || !framing.connectionUpgrade) return undefined;
  if (request.version !== "1.1" || request.method === "CONNECT") return undefined;
  const passed = upgrade
    .split(",")
    .map(trimOws)
    .filter((protocol) => protocol !== "" && !CARRIES_HTTP.test(protocol));
  return passed.length === 0 ? undefined : passed.join(", ");
}

/**
 * Turns an absolute target into origin form and its authority into Host, which it overrides (RFC 9112, section 3.2.2): two
 * readers that looked at different ones of the two would see two requests. Its scheme stays on the request.
 */
export function normaliseTarget(request: RequestHeader): void {
  const match = ABSOLUTE.exec(request.target);
  if (match === null) return;
  const [, scheme, authority, rest] = match as unknown as [string, string, string, string];
  // RFC 9110, section 4.2.1: an empty host is invalid; section 4.2.4: a user part is to be treated as an error.
  if (authority === "" || authority.startsWith(":") || !HOST.test(authority))
    throw malformed(`a target without a valid host: ${quoteAuthority(authority)}`);
  if (rest === "") request.target = request.method === "OPTIONS" ? "*" : "/";
  else request.target = rest.startsWith("?") ? `/${rest}` : rest;
  request.scheme = scheme.length === 5 ? "https" : "http";
  request.set("Host", authority);
}

/**
 * The four forms of RFC 9112, section 3.2.
 * @throws ProxyError `InvalidHTTPHeader` with status 400.
 */
export function checkTargetForm(method: string, target: string): void {
  if (method === "CONNECT") {
    if (target.startsWith(":") || !HOST.test(target) || !/:\d+$/.test(target))
      throw malformed("a CONNECT whose target is not host:port");
    const port = Number(target.slice(target.lastIndexOf(":") + 1));
    if (port < 1 || port > 65_535) throw malformed("a CONNECT whose port is not between 1 and 65535");
  } else if (target.charCodeAt(0) !== 0x2f) {
    if (target === "*" && method === "OPTIONS") return;
    if (!SCHEME.test(target))
      throw malformed(`a target that is neither path nor URI: ${JSON.stringify(target.slice(0, 80))}`);
    if (!ABSOLUTE.test(target))
      throw malformed(`a target whose scheme is not http: ${JSON.stringify(target.slice(0, 80))}`);
  }
}
