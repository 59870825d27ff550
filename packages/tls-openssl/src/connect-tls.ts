import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import {
  acceptedNames,
  SocketReader,
  type ByteStream,
  type HttpPeer,
  type SecuredStream,
  type TlsConnectOptions,
} from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { AdoptedTlsSocket, RECORD_BYTES, type AdoptOptions } from "./adopted-tls-socket.ts";
import type { ClientContexts } from "./client-contexts.ts";
import { handshake } from "./handshake.ts";
import { SingleHandshake } from "./handshake-watch.ts";
import type { KeyLog } from "./key-log.ts";
import { agreedBy, OpensslDigest } from "./openssl-digest.ts";
import { certificateError, handshakeError, nameError } from "./openssl-errors.ts";
import type { SessionCache } from "./session-cache.ts";

/** TLS as a client. Rejects as `TlsProvider.connect` says. */
export async function connectTls(
  stream: ByteStream,
  peer: HttpPeer,
  { alpn = [], signal }: TlsConnectOptions,
  contexts: ClientContexts,
  sessions: SessionCache,
  keyLog: KeyLog | undefined,
): Promise<SecuredStream> {
  const doing = `TLS with ${peer.toString()}`;
  const key = sessions.enabled ? `${peer.reuseKey} ${alpn.join()}` : undefined;
  const kept = key === undefined ? undefined : sessions.get(key);
  let tls: AdoptedTlsSocket;
  try {
    checkNames(peer);
    const secureContext = contexts.for(peer.tlsOptions);
    const reader = new SocketReader(true, true, RECORD_BYTES);
    const options: AdoptOptions = {
      allowHalfOpen: true,
      // Its buffers are its own from the first byte on: who reads a response keeps what is not whole yet.
      onread: reader.onread,
      isServer: false,
      secureContext,
      ...(alpn.length > 0 && { ALPNProtocols: [...alpn] }),
      ...(kept !== undefined && { session: kept.session }),
    };
    tls = new AdoptedTlsSocket(stream, options, reader);
  } catch (error) {
    stream.on("error", () => undefined);
    stream.destroy();
    throw error;
  }
  keyLog?.follow(tls);
  tls.listensNoMore();
  const { sni } = peer;
  // Addresses are no names (RFC 6066, section 3).
  if (sni !== undefined && sni !== "" && isIP(sni) === 0) tls.native?.setServername(sni);
  const keep = key === undefined ? undefined : keepSessions(tls, key, sessions);
  const late = (): Error =>
    ProxyError.upstream("ConnectTimedout", `${doing}: the handshake took longer than ${peer.connectMs} ms`).setDetail(
      "tls-silent",
    );
  const failed = (error: Error | undefined): Error => {
    if (key !== undefined) sessions.delete(key);
    return handshakeError(error, "upstream", doing);
  };
  const watch = new SingleHandshake(peer.connectMs, late, signal);
  await handshake(tls, watch, signal, failed, () => tls.start());
  const certificate = tls.isSessionReused() ? kept?.certificate : tls.getPeerX509Certificate();
  const verifyError = tls.native?.verifyError()?.code;
  const fault = faultOf(peer, certificate, verifyError, tls.isSessionReused(), doing);
  if (fault !== undefined) {
    tls.destroy();
    throw fault;
  }
  tls.onTlsError = (error) => handshakeError(error, "upstream", doing);
  keep?.(certificate);
  return {
    stream: tls,
    digest: new OpensslDigest(agreedBy(tls), tls.servername || undefined, certificate, verifyError),
  };
}

function checkNames(peer: HttpPeer): void {
  const { verifyCert, verifyHostname } = peer.tlsOptions;
  if (!verifyCert || !verifyHostname || acceptedNames(peer).length > 0) return;
  const what = "there is no name that its certificate must be for: set sni, alternativeCn, or verifyHostname: false";
  throw ProxyError.internal("ConfigError", `TLS with ${peer.toString()}: ${what}`);
}

function faultOf(
  peer: HttpPeer,
  certificate: X509Certificate | undefined,
  verifyError: string | undefined,
  resumed: boolean,
  doing: string,
): ProxyError | undefined {
  const { verifyCert, verifyHostname } = peer.tlsOptions;
  if (!verifyCert) return undefined;
  if (verifyError !== undefined) return certificateError(verifyError, certificate, "upstream", doing);
  // It was looked at when the session began, for the same peer.
  if (resumed || !verifyHostname) return undefined;
  if (certificate === undefined) return certificateError("there is none", undefined, "upstream", doing);
  const names = acceptedNames(peer);
  return names.some((name) => isFor(certificate, name)) ? undefined : nameError(names, certificate, doing);
}

/** RFC 9525, section 6: by its alternative names alone. */
function isFor(certificate: X509Certificate, name: string): boolean {
  if (isIP(name) !== 0) return certificate.checkIP(name) !== undefined;
  return certificate.checkHost(name, { subject: "never", partialWildcards: false }) !== undefined;
}

/**
 * Keeps the sessions that an upstream gives, once it is known to be who it must be: what came before is kept then.
 * @returns To be called at that time.
 */
function keepSessions(
  tls: AdoptedTlsSocket,
  key: string,
  sessions: SessionCache,
): ((certificate: X509Certificate | undefined) => void) | undefined {
  const { native } = tls;
  if (native === null) return undefined;
  let known = false;
  let shown: X509Certificate | undefined;
  let early: Buffer | undefined;
  native.onnewsession = (_id, session) => {
    if (known) sessions.set(key, session, shown);
    else early = session;
  };
  native.enableSessionCallbacks();
  return (certificate) => {
    known = true;
    shown = certificate;
    if (early !== undefined) sessions.set(key, early, certificate);
    early = undefined;
  };
}
