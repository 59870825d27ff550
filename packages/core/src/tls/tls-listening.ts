import { ProxyError } from "@sluice/error";
import { shown } from "../config/shown.ts";
import { nameEnds, type TlsDigest } from "../http/connection-digest.ts";
import type { OnConnection } from "../listeners/listener.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { SocketReader } from "../net/socket-reader.ts";
import { checkTlsListenSettings } from "./check-tls-listen-settings.ts";
import type { TlsHandshakes } from "./tls-handshakes.ts";
import type { TlsListenSettings } from "./tls-listen-settings.ts";
import type { SecuredStream, TlsAcceptor, TlsProvider } from "./tls-provider.ts";

/** What a service can speak, the preferred first. */
const SPOKEN: readonly string[] = ["h2", "http/1.1"];

/** One listener of a service that speaks TLS: its clients come in here, and go on to `serve`. */
export class TlsListening {
  readonly #provider: TlsProvider;
  readonly #settings: TlsListenSettings;
  readonly #where: SocketAddress;
  readonly #handshakes: TlsHandshakes;
  readonly #serve: (stream: ByteStream, tls: TlsDigest, reader: SocketReader | undefined) => void;
  #acceptor: TlsAcceptor | undefined = undefined;
  #closed = false;

  /** @throws ProxyError without a provider; TypeError or RangeError for a setting that cannot be. */
  constructor(
    provider: TlsProvider | undefined,
    settings: TlsListenSettings,
    where: SocketAddress,
    handshakes: TlsHandshakes,
    serve: (stream: ByteStream, tls: TlsDigest, reader: SocketReader | undefined) => void,
  ) {
    if (provider === undefined) {
      const what =
        "there is no TLS provider: install a TLS package and hand its provider to the service, as its option tls";
      throw ProxyError.internal("ConfigError", `cannot listen on ${where.text} with TLS: ${what}`);
    }
    checkTlsListenSettings(`listening on ${where.text}`, settings);
    const unknown = settings.alpn?.find((name) => !SPOKEN.includes(name));
    if (unknown !== undefined) {
      const spoken = SPOKEN.map(shown).join(" and ");
      throw new RangeError(
        `listening on ${where.text}: alpn: expected protocols that are spoken here, ${spoken}, got ${shown(unknown)}`,
      );
    }
    this.#provider = provider;
    this.#settings = { ...settings, alpn: settings.alpn ?? SPOKEN };
    this.#where = where;
    this.#handshakes = handshakes;
    this.#serve = serve;
  }

  /** Rejects with a ProxyError that names what cannot be used. */
  async prepare(): Promise<void> {
    try {
      this.#acceptor = await this.#provider.listen(this.#settings);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      throw error.moreContext(`cannot listen on ${this.#where.text} with TLS`);
    }
    // It may have been closed meanwhile, when there was nothing to close yet.
    if (this.#closed) this.#acceptor.close();
  }

  /** Lets a client in. */
  readonly accept: OnConnection = (socket, _listener, release) => {
    this.#handshakes.begin(this.#acceptor!, socket, this.#where, this.#secured, release);
  };

  close(): void {
    this.#closed = true;
    this.#acceptor?.close();
  }

  readonly #secured = ({ stream, digest }: SecuredStream, client: string | undefined): void => {
    nameEnds(stream, this.#where.path === undefined ? { remote: client } : { local: this.#where.text });
    this.#serve(stream, digest, SocketReader.of(stream));
  };
}
