import { hkdfSync } from "node:crypto";
import type { SecureContext } from "node:tls";
import { inspect } from "node:util";
import type { TlsListenSettings } from "@sluice/core";
import { alpnList } from "../client-handshake.ts";
import type { KeyLog } from "../key-log.ts";
import type { HandshakeCallbacks, HandshakeSettings } from "./handshake-callbacks.ts";
import {
  SSL_CTRL_MODE,
  SSL_CTRL_SET_SESS_CACHE_MODE,
  SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB,
  SSL_CTRL_SET_TLSEXT_TICKET_KEYS,
  SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB,
  SSL_MODE_RELEASE_BUFFERS,
  SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
  SSL_VERIFY_PEER,
  type OpensslCalls,
} from "./openssl-calls.ts";
import type { TlsEngine } from "./tls-engine.ts";

/** Name of the key, 32 bytes to authenticate with, and as many to encrypt with. */
const TICKET_KEY_BYTES = 80;

/**
 * The contexts that Node.js makes, as OpenSSL knows them, for the connections of one listener: what Node has OpenSSL ask of its own
 * connections is taken out, because ours are none.
 */
export class NativeContexts implements HandshakeSettings {
  readonly alpnList: Buffer | undefined;
  readonly keyLog: KeyLog | undefined;
  readonly #calls: OpensslCalls;
  readonly #callbacks: HandshakeCallbacks;
  readonly #addresses = new WeakMap<SecureContext, number>();
  readonly #verifyMode: number;

  constructor({ calls, callbacks }: TlsEngine, settings: TlsListenSettings, keyLog: KeyLog | undefined) {
    const { alpn = [], clientCertificates } = settings;
    this.#calls = calls;
    this.#callbacks = callbacks;
    this.alpnList = alpn.length === 0 ? undefined : alpnList(alpn);
    this.keyLog = keyLog;
    const asks = clientCertificates === undefined ? 0 : SSL_VERIFY_PEER;
    this.#verifyMode = clientCertificates?.mode === "require" ? asks | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : asks;
  }

  /** @param ticketKey 48 bytes. */
  addressOf(secure: SecureContext, ticketKey: Buffer): number {
    let address = this.#addresses.get(secure);
    if (address === undefined) {
      address = addressOfContext(secure);
      this.#prepare(address, ticketKey);
      this.#addresses.set(secure, address);
    }
    return address;
  }

  #prepare(context: number, ticketKey: Buffer): void {
    const calls = this.#calls;
    const callbacks = this.#callbacks;
    calls.onNewSession(context, 0);
    calls.onGetSession(context, 0);
    calls.contextCtrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, 0, null);
    if (this.#verifyMode === 0) this.#renewTickets(context, ticketKey);
    calls.contextCtrl(context, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, null);
    calls.contextCallbackCtrl(context, SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB, callbacks.onStatus);
    if (this.#verifyMode > 0) calls.setVerify(context, this.#verifyMode, callbacks.onVerify);
    if (this.alpnList !== undefined) calls.onAlpn(context, callbacks.onAlpn, 0);
    if (this.keyLog !== undefined) calls.onKeyLog(context, callbacks.onKeyLog);
  }

  /**
   * OpenSSL gives a new ticket for each that was used, where nobody is asked (RFC 8446, appendix C.4). Node.js has it ask, and says no; so
   * it stays where clients are asked for certificates, because what was verified of them would never be looked at again.
   */
  #renewTickets(context: number, ticketKey: Buffer): void {
    const calls = this.#calls;
    calls.onTicketKey(context, 0);
    calls.contextCallbackCtrl(context, SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB, 0);
    const keys = Buffer.from(hkdfSync("sha256", ticketKey, "", "sluice ticket keys", TICKET_KEY_BYTES));
    calls.contextCtrl(context, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, keys.length, keys);
  }
}

/** Node.js shows it to nobody but to `inspect`: `[External: 55d0c8a0]`. @throws Error for a Node.js that does not. */
export function addressOfContext({ context }: SecureContext): number {
  const external: unknown = (context as { _external?: unknown })._external;
  const [, hex] = /^\[External: ([0-9a-f]+)\]$/.exec(inspect(external, { colors: false })) ?? [];
  const address = Number.parseInt(hex ?? "", 16);
  if (!Number.isSafeInteger(address) || address <= 0) throw new Error("this Node.js does not show its TLS contexts");
  return address;
}
