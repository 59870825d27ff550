/** Whether a field, by its name in lower case, may be sent behind a body (RFC 9110, section 6.5.1). */
export function mayBeTrailer(lowerName: string): boolean {
  return !NOT_IN_TRAILERS.has(lowerName);
}

// Fields that frame, route or authorise have no meaning, or a dangerous one, after the body.
const NOT_IN_TRAILERS = new Set([
  "authorization",
  "cache-control",
  "connection",
  "cookie",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "max-forwards",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "range",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "www-authenticate",
]);
