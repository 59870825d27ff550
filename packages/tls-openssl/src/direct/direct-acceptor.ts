import { randomBytes, X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import {
  DEFAULT_HANDSHAKE_MS,
  DEFAULT_RELOAD_MS,
  partFrom,
  SocketReader,
  WatchedSettings,
  type SecuredStream,
  type TlsAcceptor,
  type TlsListenSettings,
} from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { RECORD_BYTES } from "../adopted-tls-socket.ts";
import { chooseContext, ocspResponse } from "../certificate-choice.ts";
import {
  checkCertificate,
  DOING,
  lateHandshake,
  PLAIN_ANSWER,
  unknownName,
  UNRECOGNIZED_NAME,
} from "../client-handshake.ts";
import { ListenerWatches } from "../handshake-watch.ts";
import type { KeyLog } from "../key-log.ts";
import { OpensslDigest } from "../openssl-digest.ts";
import { handshakeError, reasonOf } from "../openssl-errors.ts";
import { ServerContexts } from "../server-contexts.ts";
import { DirectStream } from "./direct-stream.ts";
import { NativeContexts } from "./native-contexts.ts";
import type { NativeTransport } from "./native-transport.ts";
import {
  SSL_CTRL_GET_TLSEXT_STATUS_REQ_TYPE,
  SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP,
  type OpensslCalls,
} from "./openssl-calls.ts";
import type { TlsEngine } from "./tls-engine.ts";
import { verifyErrorName } from "./verify-error-names.ts";

const VERSIONS: Readonly<Record<number, string>> = {
  0x301: "TLSv1",
  0x302: "TLSv1.1",
  0x303: "TLSv1.2",
  0x304: "TLSv1.3",
};

/** TLS for the clients of one listener, by calls to OpenSSL, on connections that a transport carries. */
export class DirectAcceptor implements TlsAcceptor {
  readonly #transport: NativeTransport;
  readonly #engine: TlsEngine;
  readonly #settings: TlsListenSettings;
  readonly #contexts: WatchedSettings<ServerContexts>;
  readonly #native: NativeContexts;
  readonly #watches: ListenerWatches;
  readonly #asksForCertificate: boolean;
  readonly #requiresCertificate: boolean;
  /** Names of ciphers, by their addresses. */
  readonly #cipherNames = new Map<number, string>();

  private constructor(
    transport: NativeTransport,
    engine: TlsEngine,
    settings: TlsListenSettings,
    contexts: WatchedSettings<ServerContexts>,
    keyLog: KeyLog | undefined,
  ) {
    this.#transport = transport;
    this.#engine = engine;
    this.#settings = settings;
    this.#contexts = contexts;
    const { handshakeMs = DEFAULT_HANDSHAKE_MS, clientCertificates } = settings;
    this.#native = new NativeContexts(engine, settings, keyLog);
    this.#watches = new ListenerWatches(handshakeMs, () => lateHandshake(handshakeMs));
    this.#asksForCertificate = clientCertificates !== undefined;
    this.#requiresCertificate = clientCertificates?.mode === "require";
  }

  /** Rejects with a ProxyError that names the setting which cannot be used. */
  static async open(
    transport: NativeTransport,
    engine: TlsEngine,
    settings: TlsListenSettings,
    keyLog: KeyLog | undefined,
  ): Promise<DirectAcceptor> {
    // The same for all contexts that there will be, so that sessions outlive a change of certificates.
    const ticketKey = randomBytes(48);
    const contexts = await WatchedSettings.open(
      settings,
      settings.reloadMs ?? DEFAULT_RELOAD_MS,
      (read) => new ServerContexts(settings, read, ticketKey, false),
    );
    return new DirectAcceptor(transport, engine, settings, contexts, keyLog);
  }

  close(): void {
    this.#contexts.close();
  }

  accept(socket: Socket, signal?: AbortSignal): Promise<SecuredStream> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        socket.destroy();
        reject(signal.reason as Error);
        return;
      }
      const contexts = this.#contexts.current;
      const engine = this.#engine;
      const { secure } = contexts.default;
      let ssl: number;
      try {
        ssl = engine.newServer(this.#native.addressOf(secure, contexts.ticketKey));
      } catch (cause) {
        socket.destroy();
        reject(ProxyError.internal("InternalError", `beginning ${DOING}`, cause));
        return;
      }
      if (contexts.needsChoice) engine.calls.setCertCallback(ssl, engine.callbacks.onCertificate, 0);
      const stream = new DirectStream(engine, this.#native, ssl, secure, new SocketReader(false, true, RECORD_BYTES));
      const below = this.#transport.adopt(socket, stream);
      if (below === undefined) {
        engine.calls.sslFree(ssl);
        reject(handshakeError(undefined, "downstream", DOING));
        return;
      }
      const cut = (error: unknown): void => {
        stream.waiter = undefined;
        isOver();
        stream.destroy();
        reject(error);
      };
      const isOver = this.#watches.for(signal).add(cut);
      stream.waiter = {
        onSecure: () => {
          isOver();
          try {
            resolve(this.#secured(stream));
          } catch (error) {
            // One that is refused is told so first.
            if (!(error instanceof ProxyError)) stream.destroy();
            reject(error);
          }
        },
        onCertificateWanted: () => void this.#choose(stream, contexts, cut),
        onRefused(error) {
          isOver();
          if (reasonOf(error) === "HTTP_REQUEST") stream.below.write(PLAIN_ANSWER);
          partFrom(stream.below);
          reject(handshakeError(error, "downstream", DOING));
        },
        onClosed(error) {
          isOver();
          reject(handshakeError(error, "downstream", DOING));
        },
      };
      stream.start(below);
    });
  }

  #secured(stream: DirectStream): SecuredStream {
    const { calls } = this.#engine;
    const { ssl, alpn } = stream;
    const der = this.#asksForCertificate ? this.#engine.peerCertificate(ssl) : undefined;
    const certificate = der && new X509Certificate(der);
    const verifyError = certificate && verifyErrorName(calls.verifyResult(ssl));
    if (this.#requiresCertificate) checkCertificate(stream, alpn, certificate, verifyError);
    stream.onTlsError = (error) => handshakeError(error, "downstream", "TLS with a client");
    const agreed = {
      version: VERSIONS[calls.version(ssl)] ?? "",
      cipher: this.#cipherName(calls.currentCipher(ssl)),
      alpn,
      resumed: calls.sessionReused(ssl) === 1,
    };
    const serverName = calls.serverName(ssl, 0) || undefined;
    return { stream, digest: new OpensslDigest(agreed, serverName, certificate, verifyError) };
  }

  #cipherName(cipher: number): string {
    let name = this.#cipherNames.get(cipher);
    if (name === undefined) this.#cipherNames.set(cipher, (name = this.#engine.calls.cipherName(cipher) ?? ""));
    return name;
  }

  /** The handshake stands until a certificate is chosen. */
  async #choose(stream: DirectStream, contexts: ServerContexts, cut: (error: unknown) => void): Promise<void> {
    const { calls } = this.#engine;
    const name = calls.serverName(stream.ssl, 0) || undefined;
    const asksForOcsp = calls.ctrl(stream.ssl, SSL_CTRL_GET_TLSEXT_STATUS_REQ_TYPE, 0, 0) > 0;
    try {
      const context = await chooseContext(this.#settings, contexts, name);
      if (context === undefined) {
        refuse(stream, name);
        return;
      }
      const response = asksForOcsp ? await ocspResponse(context) : undefined;
      const { ssl } = stream;
      // It may have left, or been cut, meanwhile.
      if (ssl === 0 || stream.destroyed) return;
      stream.secureContext = context.secure;
      if (context !== contexts.default)
        calls.useContext(ssl, this.#native.addressOf(context.secure, contexts.ticketKey));
      if (response !== undefined) staple(calls, stream, response);
      stream.goOn();
    } catch (error) {
      cut(error);
    }
  }
}

function refuse(stream: DirectStream, name: string | undefined): void {
  stream.below.write(UNRECOGNIZED_NAME);
  stream.refuse(unknownName(name));
}

/** OpenSSL takes memory of its own allocation, and frees it. */
function staple(calls: OpensslCalls, stream: DirectStream, response: Uint8Array): void {
  const address = calls.allocate(response.length, "", 0);
  calls.copyIn(address, response, response.length);
  calls.ctrl(stream.ssl, SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP, response.length, address);
  stream.ocsp = true;
}
