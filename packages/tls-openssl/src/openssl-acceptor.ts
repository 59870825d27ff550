import { randomBytes } from "node:crypto";
import { writeSync } from "node:fs";
import type { Socket } from "node:net";
import {
  DEFAULT_HANDSHAKE_MS,
  DEFAULT_RELOAD_MS,
  logger,
  refuseConnection,
  SocketReader,
  WatchedSettings,
  type SecuredStream,
  type TlsAcceptor,
  type TlsListenSettings,
} from "@sluice/core";
import { ProxyError } from "@sluice/error";
import {
  RECORD_BYTES,
  AdoptedTlsSocket,
  type AdoptOptions,
  type ClientHello,
  type TlsHandle,
} from "./adopted-tls-socket.ts";
import { handshake } from "./handshake.ts";
import { SharedHandshakeWatch } from "./handshake-watch.ts";
import type { KeyLog } from "./key-log.ts";
import { OpensslDigest } from "./openssl-digest.ts";
import { certificateError, handshakeError, reasonOf } from "./openssl-errors.ts";
import { ServerContexts, type ServerContext } from "./server-contexts.ts";

const log = logger("tls-openssl");

const DOING = "the TLS handshake with a client";

/** What a browser shows to somebody who took `http://` for `https://`; nginx does the same. */
const PLAIN_BODY = "This port speaks TLS: use https:// instead of http://\n";
const PLAIN_ANSWER = Buffer.from(
  `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${PLAIN_BODY.length}\r\nConnection: close\r\n\r\n${PLAIN_BODY}`,
);

/** The fatal alert `unrecognized_name` in a record of its own (RFC 8446, sections 5.1 and 6). OpenSSL has no way to ask for it. */
const UNRECOGNIZED_NAME = Buffer.of(0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70);

const CERTIFICATE_MISSING = "This server needs a certificate of the client, and there is none";
const CERTIFICATE_REFUSED = "This server does not accept the certificate of the client";

/** TLS for the clients of one listener. */
export class OpensslAcceptor implements TlsAcceptor {
  readonly #settings: TlsListenSettings;
  readonly #contexts: WatchedSettings<ServerContexts>;
  readonly #keyLog: KeyLog | undefined;
  readonly #alpn: Buffer | undefined;
  readonly #handshakeMs: number;
  #options: AdoptOptions | undefined = undefined;
  #setsAlpn = false;
  /** For those with the signal that was given last. */
  #watch: { readonly signal: AbortSignal | undefined; readonly all: SharedHandshakeWatch } | undefined = undefined;
  readonly #asksForCertificate: boolean;
  readonly #requiresCertificate: boolean;

  private constructor(
    settings: TlsListenSettings,
    contexts: WatchedSettings<ServerContexts>,
    keyLog: KeyLog | undefined,
  ) {
    this.#settings = settings;
    this.#contexts = contexts;
    this.#keyLog = keyLog;
    this.#alpn = settings.alpn === undefined || settings.alpn.length === 0 ? undefined : alpnList(settings.alpn);
    this.#handshakeMs = settings.handshakeMs ?? DEFAULT_HANDSHAKE_MS;
    this.#asksForCertificate = settings.clientCertificates !== undefined;
    this.#requiresCertificate = settings.clientCertificates?.mode === "require";
  }

  /** Rejects with a ProxyError that names the setting which cannot be used. */
  static async open(settings: TlsListenSettings, keyLog: KeyLog | undefined): Promise<OpensslAcceptor> {
    // The same for all contexts that there will be, so that sessions outlive a change of certificates.
    const ticketKey = randomBytes(48);
    const contexts = await WatchedSettings.open(
      settings,
      settings.reloadMs ?? DEFAULT_RELOAD_MS,
      (read) => new ServerContexts(settings, read, ticketKey),
    );
    return new OpensslAcceptor(settings, contexts, keyLog);
  }

  close(): void {
    this.#contexts.close();
  }

  async accept(socket: Socket, signal?: AbortSignal): Promise<SecuredStream> {
    const contexts = this.#contexts.current;
    const reader = new SocketReader(false, true, RECORD_BYTES);
    const tls = new AdoptedTlsSocket(socket, this.#optionsFor(contexts), reader);
    const { native } = tls;
    if (native === null) throw handshakeError(undefined, "downstream", DOING);
    if (this.#alpn !== undefined) this.#setAlpn(native, this.#alpn);
    if (contexts.needsChoice) {
      native.oncertcb = (hello) => void this.#choose(tls, contexts, hello);
      native.enableCertCb();
    }
    tls.outlivesErrors();
    this.#keyLog?.follow(tls);
    tls.listensNoMore();
    await handshake(tls, this.#watchFor(signal), signal, (error) => {
      if (reasonOf(error) === "HTTP_REQUEST") writeAtOnce(native, PLAIN_ANSWER);
      return handshakeError(error, "downstream", DOING);
    });
    return this.#secured(tls, native);
  }

  /** One for all connections of a listener, whose service has one signal. */
  #watchFor(signal: AbortSignal | undefined): SharedHandshakeWatch {
    if (this.#watch === undefined || this.#watch.signal !== signal) {
      this.#watch = { signal, all: new SharedHandshakeWatch(this.#handshakeMs, () => this.#late(), signal) };
    }
    return this.#watch.all;
  }

  /** One object for all connections, until the certificates change. */
  #optionsFor(contexts: ServerContexts): AdoptOptions {
    if (this.#options?.secureContext === contexts.default.secure) return this.#options;
    this.#options = {
      allowHalfOpen: true,
      onread: SocketReader.onread,
      isServer: true,
      secureContext: contexts.default.secure,
      requestCert: this.#asksForCertificate,
      rejectUnauthorized: this.#requiresCertificate,
      ...(this.#alpn !== undefined && !this.#setsAlpn && { ALPNProtocols: this.#alpn }),
    };
    return this.#options;
  }

  /** As an option, Node copies the list for each connection: so it is one only until a handle has shown that it takes it. */
  #setAlpn(native: TlsHandle, list: Buffer): void {
    if (typeof native.setALPNProtocols !== "function") return;
    native.setALPNProtocols(list);
    if (this.#setsAlpn) return;
    this.#setsAlpn = true;
    this.#options = undefined;
  }

  #secured(tls: AdoptedTlsSocket, native: TlsHandle): SecuredStream {
    const certificate = this.#asksForCertificate ? tls.getPeerX509Certificate() : undefined;
    let verifyError: string | undefined;
    if (certificate !== undefined) {
      verifyError = native.verifyError()?.code;
    }
    if (this.#requiresCertificate && (certificate === undefined || verifyError !== undefined)) {
      const code = verifyError ?? "";
      const alpn = typeof tls.alpnProtocol === "string" ? tls.alpnProtocol : undefined;
      // Node looks at it when the handshake is over, and has no way to send an alert.
      refuseConnection(tls, alpn, certificate === undefined ? CERTIFICATE_MISSING : CERTIFICATE_REFUSED);
      // Whoever resumes a session without one has none.
      throw certificate === undefined
        ? new ProxyError("TLSHandshakeFailure", {
            source: "downstream",
            context: `${DOING}: it has no certificate`,
            detail: "cert-missing",
          })
        : certificateError(code, certificate, "downstream", DOING);
    }
    tls.onTlsError = (error) => handshakeError(error, "downstream", "TLS with a client");
    const serverName = typeof tls.servername === "string" && tls.servername !== "" ? tls.servername : undefined;
    return { stream: tls, digest: new OpensslDigest(tls, serverName, certificate, verifyError) };
  }

  #late(): ProxyError {
    return ProxyError.downstream("TLSHandshakeTimedout", `${DOING} took longer than ${this.#handshakeMs} ms`);
  }

  /** The handshake stands until a certificate is chosen. */
  async #choose(tls: AdoptedTlsSocket, contexts: ServerContexts, hello: ClientHello): Promise<void> {
    const name = typeof hello.servername === "string" && hello.servername !== "" ? hello.servername : undefined;
    try {
      let context = name === undefined ? undefined : contexts.names.find(name);
      if (context === undefined && this.#settings.resolveCertificate !== undefined) {
        context = await this.#resolve(contexts, name);
      }
      context ??= this.#defaultFor(contexts, name);
      if (context === undefined) {
        refuse(tls, name);
        return;
      }
      const response = hello.OCSPRequest ? await ocspResponse(context) : undefined;
      const { native } = tls;
      // It may have left, or been cut, meanwhile.
      if (native === null) return;
      if (context !== contexts.default) native.sni_context = context.secure.context;
      if (response !== undefined) native.setOCSPResponse(response);
      native.certCbDone();
    } catch (error) {
      tls.destroy(error as Error);
    }
  }

  async #resolve(contexts: ServerContexts, name: string | undefined): Promise<ServerContext | undefined> {
    try {
      const certificate = await this.#settings.resolveCertificate!(name);
      return certificate === undefined ? undefined : contexts.resolved(certificate);
    } catch (cause) {
      throw ProxyError.internal(
        "InternalError",
        `resolveCertificate failed for ${name ?? "a client without a name"}`,
        cause,
      );
    }
  }

  #defaultFor(contexts: ServerContexts, name: string | undefined): ServerContext | undefined {
    const { certificates = [], unknownName } = this.#settings;
    if (certificates.length === 0) return undefined;
    return name !== undefined && unknownName === "refuse" ? undefined : contexts.default;
  }
}

function refuse(tls: AdoptedTlsSocket, name: string | undefined): void {
  writeAtOnce(tls.native, UNRECOGNIZED_NAME);
  const context = `${DOING}: there is no certificate for ${name ?? "clients that ask for no name"}`;
  tls.waiter?.onRefused(
    new ProxyError("TLSHandshakeFailure", { source: "downstream", context, detail: "unknown-name" }),
  );
}

async function ocspResponse({ ocsp }: ServerContext): Promise<Uint8Array | undefined> {
  if (typeof ocsp !== "function") return ocsp;
  try {
    const response: unknown = await ocsp();
    if (response === undefined || response instanceof Uint8Array) return response;
    throw new TypeError(`expected bytes or undefined, got ${typeof response}`);
  } catch (err) {
    log.error({ err }, "there is no OCSP response to staple: its function failed");
    return undefined;
  }
}

/** RFC 7301, section 3.1. */
function alpnList(names: readonly string[]): Buffer {
  return Buffer.concat(names.map((name) => Buffer.concat([Buffer.of(Buffer.byteLength(name)), Buffer.from(name)])));
}

/** Below TLS, which has not said anything yet; a few bytes, which the system takes. */
function writeAtOnce(native: TlsHandle | null, bytes: Buffer): void {
  if (native === null || native.fd < 0) return;
  try {
    writeSync(native.fd, bytes);
  } catch {
    // The client has left.
  }
}
