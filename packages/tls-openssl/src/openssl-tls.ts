import type { SecuredStream, TlsAcceptor, TlsConnectOptions, TlsListenSettings, TlsProvider } from "@sluice/core";
import {
  checkOptionNames,
  checkOptionType,
  shown,
  type ByteStream,
  type ClientCertificate,
  type HttpPeer,
} from "@sluice/core";
import { ClientContexts } from "./client-contexts.ts";
import { connectTls } from "./connect-tls.ts";
import { KeyLog } from "./key-log.ts";
import { OpensslAcceptor } from "./openssl-acceptor.ts";
import { SessionCache } from "./session-cache.ts";

/** What holds for all listeners and peers of a provider. */
export interface OpensslTlsOptions {
  /** The authorities that upstreams must have their certificates from, in PEM. Default: those that Node.js trusts. */
  ca?: string | Uint8Array;
  /** What we show to upstreams that ask for a certificate, unless their peer says otherwise. Default: nothing. */
  clientCert?: ClientCertificate;
  /**
   * A file to which the secrets of all connections are added, so that Wireshark can read what was captured: for looking into trouble,
   * never to be left on. Default: the environment variable `SSLKEYLOGFILE`; `false`: none, whatever it says.
   */
  keyLogFile?: string | false;
  /** Sessions with upstreams that are kept in order to be resumed, one for each peer. Default 1000; 0: none is resumed. */
  maxSessions?: number;
}

const OPTION_NAMES = ["ca", "clientCert", "keyLogFile", "maxSessions"];

/**
 * TLS by the OpenSSL that Node.js brings: hand it to a service for its listeners, and to a connector for its peers.
 * @throws TypeError or RangeError for an option that cannot be; ProxyError `InvalidCert` for a certificate that cannot be used.
 */
export function opensslTls(options: OpensslTlsOptions = {}): TlsProvider {
  return new OpensslTls(options);
}

class OpensslTls implements TlsProvider {
  readonly name = "openssl";
  readonly #contexts: ClientContexts;
  readonly #sessions: SessionCache;
  readonly #keyLog: KeyLog | undefined;

  constructor(options: OpensslTlsOptions) {
    checkOptions(options);
    const { keyLogFile = process.env["SSLKEYLOGFILE"] ?? false, maxSessions = 1000 } = options;
    this.#contexts = new ClientContexts(options.ca, options.clientCert);
    this.#sessions = new SessionCache(maxSessions);
    this.#keyLog = keyLogFile === false || keyLogFile === "" ? undefined : KeyLog.to(keyLogFile);
  }

  listen(settings: TlsListenSettings): Promise<TlsAcceptor> {
    return OpensslAcceptor.open(settings, this.#keyLog);
  }

  connect(stream: ByteStream, peer: HttpPeer, options: TlsConnectOptions): Promise<SecuredStream> {
    return connectTls(stream, peer, options, this.#contexts, this.#sessions, this.#keyLog);
  }
}

function checkOptions(options: OpensslTlsOptions): void {
  checkOptionNames("opensslTls", options, OPTION_NAMES);
  const { ca, clientCert, keyLogFile, maxSessions } = options;
  if (ca !== undefined) checkPem("ca", ca);
  if (keyLogFile !== undefined && keyLogFile !== false && typeof keyLogFile !== "string") {
    throw new TypeError(`opensslTls: keyLogFile: expected a path or false, got ${shown(keyLogFile)}`);
  }
  if (maxSessions !== undefined && !(Number.isInteger(maxSessions) && maxSessions >= 0)) {
    throw new RangeError(`opensslTls: maxSessions: expected an integer of at least 0, got ${shown(maxSessions)}`);
  }
  if (clientCert === undefined) return;
  checkOptionNames("opensslTls: clientCert", clientCert, ["cert", "key", "passphrase"]);
  checkPem("clientCert.cert", clientCert.cert);
  checkPem("clientCert.key", clientCert.key);
  checkOptionType("opensslTls: clientCert", "passphrase", clientCert.passphrase, "string");
}

/** What is in it is looked at by OpenSSL. */
function checkPem(name: string, pem: unknown): void {
  if (typeof pem === "string" || pem instanceof Uint8Array) return;
  throw new TypeError(`opensslTls: ${name}: expected PEM, its text or bytes, got ${shown(pem)}`);
}
