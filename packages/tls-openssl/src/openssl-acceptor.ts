import { randomBytes } from "node:crypto";
import { writeSync } from "node:fs";
import type { Socket } from "node:net";
import {
  DEFAULT_HANDSHAKE_MS,
  DEFAULT_RELOAD_MS,
  SocketReader,
  WatchedSettings,
  type SecuredStream,
  type TlsAcceptor,
  type TlsListenSettings,
} from "@sluice/core";
import {
  RECORD_BYTES,
  AdoptedTlsSocket,
  type AdoptOptions,
  type ClientHello,
  type TlsHandle,
} from "./adopted-tls-socket.ts";
import { chooseContext, contextFor, ocspResponse } from "./certificate-choice.ts";
import {
  alpnList,
  checkCertificate,
  DOING,
  lateHandshake,
  PLAIN_ANSWER,
  unknownName,
  UNRECOGNIZED_NAME,
} from "./client-handshake.ts";
import { handshake } from "./handshake.ts";
import { ListenerWatches } from "./handshake-watch.ts";
import type { KeyLog } from "./key-log.ts";
import { agreedBy, OpensslDigest } from "./openssl-digest.ts";
import { handshakeError, reasonOf } from "./openssl-errors.ts";
import { ServerContexts } from "./server-contexts.ts";

/** TLS for the clients of one listener. */
export class OpensslAcceptor implements TlsAcceptor {
  readonly #settings: TlsListenSettings;
  readonly #contexts: WatchedSettings<ServerContexts>;
  readonly #keyLog: KeyLog | undefined;
  readonly #alpn: Buffer | undefined;
  readonly #watches: ListenerWatches;
  #options: AdoptOptions | undefined = undefined;
  #setsAlpn = false;
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
    const { handshakeMs = DEFAULT_HANDSHAKE_MS } = settings;
    this.#watches = new ListenerWatches(handshakeMs, () => lateHandshake(handshakeMs));
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
    await handshake(tls, this.#watches.for(signal), signal, (error) => {
      if (reasonOf(error) === "HTTP_REQUEST") writeAtOnce(native, PLAIN_ANSWER);
      return handshakeError(error, "downstream", DOING);
    });
    return this.#secured(tls, native);
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
    const verifyError = certificate === undefined ? undefined : native.verifyError()?.code;
    const agreed = agreedBy(tls);
    if (this.#requiresCertificate) checkCertificate(tls, agreed.alpn, certificate, verifyError);
    tls.onTlsError = (error) => handshakeError(error, "downstream", "TLS with a client");
    const serverName = typeof tls.servername === "string" && tls.servername !== "" ? tls.servername : undefined;
    return { stream: tls, digest: new OpensslDigest(agreed, serverName, certificate, verifyError) };
  }

  /** The handshake stands until a certificate is chosen. */
  async #choose(tls: AdoptedTlsSocket, contexts: ServerContexts, hello: ClientHello): Promise<void> {
    const name = typeof hello.servername === "string" && hello.servername !== "" ? hello.servername : undefined;
    try {
      const context = await chooseContext(this.#settings, contexts, name);
      if (context === undefined) {
        refuse(tls, name);
        return;
      }
      const response = hello.OCSPRequest ? await ocspResponse(context) : undefined;
      const { native } = tls;
      // It may have left, or been cut, meanwhile.
      if (native === null) return;
      if (context !== contexts.default) {
        const several = context.single.length > 0;
        native.sni_context = contextFor(context, (several && native.getSharedSigalgs?.()) || []).context;
      }
      if (response !== undefined) native.setOCSPResponse(response);
      native.certCbDone();
    } catch (error) {
      tls.destroy(error as Error);
    }
  }
}

function refuse(tls: AdoptedTlsSocket, name: string | undefined): void {
  writeAtOnce(tls.native, UNRECOGNIZED_NAME);
  tls.waiter?.onRefused(unknownName(name));
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
