import type { Socket } from "node:net";
import { ProxyError, toProxyError } from "@sluice/error";
import { tlsChannels } from "../diagnostics.ts";
import { remoteAddressOf } from "../http/connection-digest.ts";
import { logger } from "../log/logger.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { serverStops } from "../http1/client-errors.ts";
import { refuseConnection } from "./farewell.ts";
import { tooWeakForHttp2 } from "./http2-security.ts";
import { downstreamTlsHint } from "./tls-hint.ts";
import type { SecuredStream, TlsAcceptor } from "./tls-provider.ts";

const log = logger("core");
const { handshakeFailed } = tlsChannels;

/** The handshakes of a service with its clients, while they go on. Each fails for itself. */
export class TlsHandshakes {
  /** Those that have failed so far. */
  failedCount = 0;
  readonly #service: string;
  readonly #onNone: () => void;
  #count = 0;
  #stop: AbortController = new AbortController();
  #limit: NodeJS.Timeout | undefined = undefined;

  /** @param onNone Called when the last of them is over. */
  constructor(service: string, onNone: () => void) {
    this.#service = service;
    this.#onNone = onNone;
  }

  /** How many go on. */
  get count(): number {
    return this.#count;
  }

  /**
   * Calls `secured` once the handshake is done, with the address of the client; a client that fails is logged, counted and published.
   * @param socket Accepted, half-open, paused, without listeners.
   * @param release To be called when its connection is over; `undefined` where nobody counts.
   */
  begin(
    acceptor: TlsAcceptor,
    socket: Socket,
    listener: SocketAddress,
    secured: (connection: SecuredStream, client: string | undefined) => void,
    release?: () => void,
  ): void {
    this.#count++;
    // Known while the socket is open only.
    const client = remoteAddressOf(socket);
    const failed = (error: ProxyError): void => this.#failed(error, client, listener.text);
    acceptor.accept(socket, this.#stop.signal).then(
      (connection) => {
        if (release !== undefined) connection.stream.on("close", release);
        const tooWeak = tooWeakForHttp2(connection.digest);
        // First: what counts handshakes must not find a connection nowhere.
        if (tooWeak === undefined) secured(connection, client);
        else failed(refused(connection, tooWeak));
        this.#over();
      },
      (thrown: unknown) => {
        release?.();
        failed(toProxyError(thrown));
        this.#over();
      },
    );
  }

  /** Cuts those that are not done within `ms`; 0: now. */
  limit(ms: number): void {
    clearTimeout(this.#limit);
    if (ms === 0) this.#stop.abort(serverStops());
    else this.#limit = setTimeout(() => this.#stop.abort(serverStops()), ms).unref();
  }

  #over(): void {
    this.#count--;
    if (this.#count > 0) return;
    this.#onNone();
  }

  #failed(error: ProxyError, client: string | undefined, listener: string): void {
    this.failedCount++;
    const hint = downstreamTlsHint(error);
    const { source, type, detail, message } = error;
    const fields = { client, listener, source, type, detail, error: message, ...(hint !== undefined && { hint }) };
    // Scanners fail all day, and are no trouble of ours.
    if (source === "downstream") log.info(fields, "TLS handshake failed");
    else log.error(fields, "TLS handshake failed");
    if (handshakeFailed.hasSubscribers) {
      handshakeFailed.publish({ service: this.#service, client, listener, error, hint });
    }
  }
}

function refused({ stream, digest }: SecuredStream, tooWeak: string): ProxyError {
  refuseConnection(stream, digest.alpn, tooWeak);
  const context = `the TLS handshake with a client: ${tooWeak}`;
  return new ProxyError("TLSHandshakeFailure", { source: "downstream", context, detail: "tls-parameters" });
}
