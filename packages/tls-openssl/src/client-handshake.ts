import type { X509Certificate } from "node:crypto";
import { refuseConnection, type ByteStream } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { certificateError } from "./openssl-errors.ts";

/** What is being done, for errors. */
export const DOING = "the TLS handshake with a client";

/** What a browser shows to somebody who took `http://` for `https://`; nginx does the same. */
const PLAIN_BODY = "This port speaks TLS: use https:// instead of http://\n";
export const PLAIN_ANSWER: Buffer = Buffer.from(
  `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${PLAIN_BODY.length}\r\nConnection: close\r\n\r\n${PLAIN_BODY}`,
);

/** The fatal alert `unrecognized_name` in a record of its own (RFC 8446, sections 5.1 and 6). OpenSSL has no way to ask for it. */
export const UNRECOGNIZED_NAME: Buffer = Buffer.of(0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70);

const CERTIFICATE_MISSING = "This server needs a certificate of the client, and there is none";
const CERTIFICATE_REFUSED = "This server does not accept the certificate of the client";

/** RFC 7301, section 3.1. */
export function alpnList(names: readonly string[]): Buffer {
  return Buffer.concat(names.map((name) => Buffer.concat([Buffer.of(Buffer.byteLength(name)), Buffer.from(name)])));
}

/** It took longer than it may. */
export function lateHandshake(limitMs: number): ProxyError {
  return ProxyError.downstream("TLSHandshakeTimedout", `${DOING} took longer than ${limitMs} ms`);
}

/** There is no certificate for whoever asks for `name`. */
export function unknownName(name: string | undefined): ProxyError {
  const context = `${DOING}: there is no certificate for ${name ?? "clients that ask for no name"}`;
  return new ProxyError("TLSHandshakeFailure", { source: "downstream", context, detail: "unknown-name" });
}

/**
 * Lets nobody in without a certificate that verifies: it is looked at when the handshake is over, where there is no alert any more.
 * @param stream Told why, and ended, if it is not let in.
 * @throws ProxyError `InvalidCert` or `TLSHandshakeFailure`.
 */
export function checkCertificate(
  stream: ByteStream,
  alpn: string | undefined,
  certificate: X509Certificate | undefined,
  verifyError: string | undefined,
): void {
  if (certificate !== undefined && verifyError === undefined) return;
  refuseConnection(stream, alpn, certificate === undefined ? CERTIFICATE_MISSING : CERTIFICATE_REFUSED);
  // Whoever resumes a session without one has none.
  if (certificate !== undefined) throw certificateError(verifyError ?? "", certificate, "downstream", DOING);
  const context = `${DOING}: it has no certificate`;
  throw new ProxyError("TLSHandshakeFailure", { source: "downstream", context, detail: "cert-missing" });
}
