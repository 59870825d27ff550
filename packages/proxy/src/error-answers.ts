import { ProxyError, type ErrorDetail, type ErrorSource, type KnownErrorType } from "@sluice/error";
import type { ProxyStatusError } from "./proxy-status-error.ts";

/** Instead of a status: the client is gone, or was cut, and nothing can be sent. */
export const NOTHING_SENT = 0;

/** What a failed request is answered with: a row of {@link ERROR_ANSWERS}. */
export interface ErrorAnswer {
  /** Whose fault it is. Absent: whoever's. */
  readonly source?: ErrorSource;
  /** What happened. Absent: anything else. */
  readonly types?: readonly KnownErrorType[];
  /** Of the error, or of the one at its root. Absent: whatever the type leaves open. */
  readonly details?: readonly ErrorDetail[];
  /** The status to answer with; or that the error names one itself, which is taken: one of 4xx, or any that is final. */
  readonly status: number | "4xx" | "its own";
  /** The reason that `Proxy-Status` gives (RFC 9209). Absent where nothing is sent. */
  readonly proxyStatus?: ProxyStatusError;
}

/** All that decides about the answer to a failed request. The first row that fits an error counts. */
export const ERROR_ANSWERS: readonly ErrorAnswer[] = [
  { types: ["NoPeer"], status: 503, proxyStatus: "destination_unavailable" },

  {
    source: "downstream",
    types: ["ConnectionClosed", "ReadError", "WriteError", "WriteTimedout"],
    status: NOTHING_SENT,
  },
  { source: "downstream", status: "4xx", proxyStatus: "http_request_error" },
  { source: "downstream", status: "its own", proxyStatus: "proxy_internal_response" },
  { source: "downstream", status: 400, proxyStatus: "http_request_error" },

  { types: ["HTTPStatus"], status: "4xx", proxyStatus: "http_request_denied" },
  { types: ["HTTPStatus"], status: "its own", proxyStatus: "proxy_internal_response" },

  {
    source: "upstream",
    types: ["ConnectTimedout", "TLSHandshakeTimedout"],
    status: 504,
    proxyStatus: "connection_timeout",
  },
  { source: "upstream", types: ["ConnectRefused"], status: 502, proxyStatus: "connection_refused" },
  { source: "upstream", types: ["ConnectNoRoute"], status: 502, proxyStatus: "destination_ip_unroutable" },
  { source: "upstream", types: ["ConnectError"], details: ["name-lookup"], status: 502, proxyStatus: "dns_error" },
  {
    source: "upstream",
    types: ["ConnectError"],
    details: ["name-lookup-timeout"],
    status: 504,
    proxyStatus: "dns_timeout",
  },
  // What an upstream only says by an alert. In TLS 1.3 it may come when the request is on its way.
  {
    source: "upstream",
    types: ["TLSHandshakeFailure", "ReadError"],
    details: ["cert-missing", "cert-refused", "tls-alpn", "unknown-name"],
    status: 502,
    proxyStatus: "tls_alert_received",
  },
  { source: "upstream", types: ["TLSHandshakeFailure"], status: 502, proxyStatus: "tls_protocol_error" },
  { source: "upstream", types: ["InvalidCert"], status: 502, proxyStatus: "tls_certificate_error" },
  {
    source: "upstream",
    types: ["ConnectionClosed", "ReadError", "WriteError", "H2Error"],
    details: ["response-body"],
    status: 502,
    proxyStatus: "http_response_incomplete",
  },
  {
    source: "upstream",
    types: ["ConnectionClosed", "ReadError", "WriteError"],
    status: 502,
    proxyStatus: "connection_terminated",
  },
  // RFC 9110, section 15.6.5: a gateway that had no timely answer says 504. (Pingora: 502.)
  { source: "upstream", types: ["ReadTimedout", "PingTimedout"], status: 504, proxyStatus: "connection_read_timeout" },
  { source: "upstream", types: ["WriteTimedout"], status: 504, proxyStatus: "connection_write_timeout" },
  {
    source: "upstream",
    types: ["InvalidHTTPHeader"],
    details: ["too-large"],
    status: 502,
    proxyStatus: "http_response_header_section_size",
  },
  {
    source: "upstream",
    types: ["InvalidHTTPHeader"],
    details: ["unknown-coding"],
    status: 502,
    proxyStatus: "http_response_transfer_coding",
  },
  { source: "upstream", types: ["InvalidChunk"], status: 502, proxyStatus: "http_response_transfer_coding" },
  {
    source: "upstream",
    types: ["InvalidContentCoding"],
    status: 502,
    proxyStatus: "http_response_content_coding",
  },
  {
    source: "upstream",
    types: [
      "InvalidHTTPHeader",
      "InvalidTrailerEnd",
      "UnexpectedData",
      "HandshakeError",
      "H2Error",
      "H2Downgrade",
      "InvalidH2",
    ],
    status: 502,
    proxyStatus: "http_protocol_error",
  },
  { source: "upstream", status: 502, proxyStatus: "destination_unavailable" },

  // A request head that an upstream of HTTP/2 has said it does not take; one of HTTP/1 would answer the same itself (RFC 6585, section 5).
  {
    source: "internal",
    types: ["InvalidHTTPHeader"],
    details: ["too-large"],
    status: 431,
    proxyStatus: "http_request_error",
  },
  { types: ["ConfigError", "BindError"], status: 500, proxyStatus: "proxy_configuration_error" },
  { status: 500, proxyStatus: "proxy_internal_error" },
];

/**
 * The status to answer a failed request with, 0 where nothing can be sent: what {@link ERROR_ANSWERS} says, which
 * `docs/failures.md` shows.
 */
export function errorStatus(error: ProxyError): number {
  const { status } = answerTo(error);
  return typeof status === "number" ? status : error.status!;
}

/**
 * The reason to give in `Proxy-Status`. A status that stands for an error of an upstream, such as a 503 that a hook makes of a
 * refused connection, has the reason of that error.
 */
export function proxyStatusError(error: ProxyError): ProxyStatusError | undefined {
  return answerTo(reasonOf(error)).proxyStatus;
}

/** The error that `Proxy-Status` speaks of. */
export function reasonOf(error: ProxyError): ProxyError {
  let reason = error;
  while (reason.type === "HTTPStatus" && reason.cause instanceof ProxyError) reason = reason.cause;
  return reason.source === "upstream" ? reason : error;
}

/** Whether an error of a client's session means that nothing reaches the client any more. */
export function isClientGone(error: ProxyError | undefined): error is ProxyError {
  return error !== undefined && errorStatus(error) === NOTHING_SENT;
}

function answerTo(error: ProxyError): ErrorAnswer {
  return ERROR_ANSWERS.find((answer) => fits(answer, error))!;
}

function fits({ source, types, details, status }: ErrorAnswer, error: ProxyError): boolean {
  if (source !== undefined && source !== error.source) return false;
  if (types !== undefined && !(types as readonly string[]).includes(error.type)) return false;
  if (details !== undefined && !hasOneOf(details, error)) return false;
  if (typeof status === "number") return true;
  // An interim status, or none, answers nothing.
  const named = error.status ?? 0;
  return status === "4xx" ? named >= 400 && named < 500 : named >= 200 && named <= 999;
}

function hasOneOf(details: readonly ErrorDetail[], error: ProxyError): boolean {
  const root = error.rootError();
  return [error.detail, root.detail].some((detail) => detail !== undefined && details.includes(detail));
}
