import type { SecuredStream, TlsAcceptor, TlsConnectOptions, TlsListenSettings, TlsProvider } from "@sluice/core";
import {
  checkOptionNames,
  checkOptionType,
  shown,
  type ByteStream,
  type ClientCertificate,
  type HttpPeer,
} from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { createSecureContext } from "node:tls";
import { ClientContexts } from "./client-contexts.ts";
import { connectTls } from "./connect-tls.ts";
import { DirectAcceptor } from "./direct/direct-acceptor.ts";
import { addressOfContext } from "./direct/native-contexts.ts";
import type { NativeTransport } from "./direct/native-transport.ts";
import { standardNativeTransport } from "./direct/standard-transport.ts";
import { TlsEngine } from "./direct/tls-engine.ts";
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
  /**
   * What carries the connections of clients, and lets OpenSSL be called with nothing of Node.js in between: `ioUring()` of `@sluice/linux`.
   * Connections to upstreams stay with Node.js. Default: so do those of clients.
   */
  transport?: NativeTransport;
}

const OPTION_NAMES = ["ca", "clientCert", "keyLogFile", "maxSessions", "transport"];

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
  readonly #direct: { readonly transport: NativeTransport; readonly engine: TlsEngine } | undefined;

  constructor(options: OpensslTlsOptions) {
    checkOptions(options);
    const { keyLogFile = process.env["SSLKEYLOGFILE"] ?? false, maxSessions = 1000 } = options;
    this.#contexts = new ClientContexts(options.ca, options.clientCert);
    this.#sessions = new SessionCache(maxSessions);
    this.#keyLog = keyLogFile === false || keyLogFile === "" ? undefined : KeyLog.to(keyLogFile);
    const { transport = standardNativeTransport() } = options;
    this.#direct = transport && { transport, engine: engineOf(transport) };
  }

  listen(settings: TlsListenSettings): Promise<TlsAcceptor> {
    if (this.#direct === undefined) return OpensslAcceptor.open(settings, this.#keyLog);
    return DirectAcceptor.open(this.#direct.transport, this.#direct.engine, settings, this.#keyLog);
  }

  connect(stream: ByteStream, peer: HttpPeer, options: TlsConnectOptions): Promise<SecuredStream> {
    return connectTls(stream, peer, options, this.#contexts, this.#sessions, this.#keyLog);
  }
}

/** One for each transport: it has memory that all connections share. */
const engines = new WeakMap<object, TlsEngine>();

function engineOf(transport: NativeTransport): TlsEngine {
  let engine = engines.get(transport.native);
  if (engine !== undefined) return engine;
  try {
    engine = new TlsEngine(transport);
    addressOfContext(createSecureContext());
  } catch (cause) {
    const why = "the OpenSSL of this Node.js cannot be called";
    throw ProxyError.internal("ConfigError", `opensslTls: transport: ${why}: ${(cause as Error).message}`, cause);
  }
  engines.set(transport.native, engine);
  return engine;
}

function checkOptions(options: OpensslTlsOptions): void {
  checkOptionNames("opensslTls", options, OPTION_NAMES);
  const { ca, clientCert, keyLogFile, maxSessions, transport } = options;
  if (ca !== undefined) checkPem("ca", ca);
  if (keyLogFile !== undefined && keyLogFile !== false && typeof keyLogFile !== "string") {
    throw new TypeError(`opensslTls: keyLogFile: expected a path or false, got ${shown(keyLogFile)}`);
  }
  if (maxSessions !== undefined && !(Number.isInteger(maxSessions) && maxSessions >= 0)) {
    throw new RangeError(`opensslTls: maxSessions: expected an integer of at least 0, got ${shown(maxSessions)}`);
  }
  if (transport !== undefined && (typeof transport?.adopt !== "function" || transport.native === undefined)) {
    throw new TypeError(
      "opensslTls: transport: expected one with adopt() and native, such as ioUring() of @sluice/linux",
    );
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
