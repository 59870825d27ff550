import { ProxyError, type ErrorDetail, type KnownErrorType } from "@sluice/error";
import { expect, test } from "vitest";
import { errorHint } from "./error-hint.ts";

test.each<[KnownErrorType, RegExp]>([
  ["InvalidCert", /certificate cannot be trusted/],
  ["TLSHandshakeFailure", /did not say why: does it speak TLS there/],
])("%s of an upstream has a hint, and of a client none", (type, hint) => {
  expect(errorHint(ProxyError.upstream(type, "a name that does not fit"), false)).toMatch(hint);
  expect(errorHint(new ProxyError(type, { source: "downstream" }), false)).toBeUndefined();
});

test.each<[KnownErrorType, ErrorDetail | undefined, RegExp]>([
  ["ConnectTimedout", undefined, /firewall that drops/],
  ["ConnectTimedout", "tls-silent", /does not speak TLS in time/],
  ["ConnectTimedout", "http2-silent", /does not begin to speak HTTP\/2/],
  ["ConnectTimedout", "no-stream", /maxH2Streams/],
  ["ConnectError", "no-such-socket", /no socket at that path/],
  ["InternalError", "no-permission", /permissions of the socket's path/],
  ["InvalidHTTPHeader", "too-large", /larger than is allowed here/],
  ["InvalidHTTPHeader", "unknown-coding", /other than chunked/],
  ["InvalidChunk", undefined, /breaks the rules of HTTP\/1/],
  ["WriteTimedout", undefined, /writeMs/],
  ["H2Error", undefined, /the upstream's own log/],
  ["InvalidH2", undefined, /rules of HTTP\/2/],
])("%s (%s) of an upstream says where to look", (type, detail, hint) => {
  const error = ProxyError.upstream(type, "a name that does not fit");
  expect(errorHint(detail === undefined ? error : error.setDetail(detail), false)).toMatch(hint);
});

test("a request head that is too large for an upstream of HTTP/2 has a hint of its own", () => {
  const error = ProxyError.internal("InvalidHTTPHeader", "a request head of 200 bytes").setDetail("too-large");
  expect(errorHint(error, false)).toMatch(/too large for the upstream/);
});
