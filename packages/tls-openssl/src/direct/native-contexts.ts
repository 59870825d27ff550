import { hkdfSync } from "node:crypto";
import type { SecureContext } from "node:tls";
import { inspect } from "node:util";
import type { TlsListenSettings } from "@sluice/core";
import type { KeyLog } from "../key-log.ts";
import {
  SSL_CTRL_MODE,
  SSL_CTRL_SET_SESS_CACHE_MODE,
  SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB,
  SSL_CTRL_SET_TLSEXT_TICKET_KEYS,
  SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB,
  SSL_MODE_RELEASE_BUFFERS,
  SSL_TLSEXT_ERR_ALERT_FATAL,
  SSL_TLSEXT_ERR_NOACK,
  SSL_TLSEXT_ERR_OK,
  SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
  SSL_VERIFY_PEER,
  type OpensslCalls,
} from "./openssl-calls.ts";

/** Name of the key, 32 bytes to authenticate with, and as many to encrypt with. */
const TICKET_KEY_BYTES = 80;
/** Of `SSL_select_next_proto`: they have one in common. */
const OPENSSL_NPN_NEGOTIATED = 1;
const POINTER_BYTES = 8;

/** Whoever is in the middle of a handshake: OpenSSL asks while it is called. */
export interface HandshakeAsker {
  alpn: string | undefined;
  readonly ocsp: boolean;
}

/**
 * The contexts that Node.js makes, as OpenSSL knows them, for the connections of one listener: what Node has OpenSSL ask of its own
 * connections is taken out, because ours are none.
 */
export class NativeContexts {
  /** Who is in the middle of a handshake. */
  asker: HandshakeAsker | undefined = undefined;
  readonly #calls: OpensslCalls;
  readonly #addresses = new WeakMap<SecureContext, number>();
  readonly #alpn: Buffer | undefined;
  readonly #verifyMode: number;
  readonly #onVerify: number;
  readonly #onAlpn: number;
  readonly #onStatus: number;
  readonly #onKeyLog: number | undefined;

  /** @param alpn The protocols to choose from, the preferred first, as they stand in a handshake. */
  constructor(
    calls: OpensslCalls,
    { clientCertificates }: TlsListenSettings,
    alpn: Buffer | undefined,
    keyLog: KeyLog | undefined,
  ) {
    this.#calls = calls;
    this.#alpn = alpn;
    const asks = clientCertificates === undefined ? 0 : SSL_VERIFY_PEER;
    this.#verifyMode = clientCertificates?.mode === "require" ? asks | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : asks;
    const { native } = calls;
    // Whoever shows a certificate that does not verify is let in, and looked at behind the handshake.
    this.#onVerify = native.callback("int sluice_on_verify(int, intptr_t)", () => 1);
    this.#onStatus = native.callback("int sluice_on_status(intptr_t, intptr_t)", () =>
      this.asker?.ocsp === true ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK,
    );
    this.#onAlpn = native.callback(
      "int sluice_on_alpn(intptr_t, intptr_t, intptr_t, intptr_t, unsigned int, intptr_t)",
      (_ssl, out, outLength, offered, offeredLength) => this.#choose(out, outLength, offered, offeredLength),
    );
    this.#onKeyLog =
      keyLog &&
      native.callback("void sluice_on_key_log(intptr_t, const char *)", (_ssl, line) => keyLog.write(`${line}\n`));
  }

  #choose(out: number, outLength: number, offered: number, offeredLength: number): number {
    const list = this.#alpn!;
    const calls = this.#calls;
    const common = calls.selectProtocol(out, outLength, list, list.length, offered, offeredLength);
    if (common !== OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
    const pointer = Buffer.alloc(POINTER_BYTES);
    calls.copyOut(pointer, out, POINTER_BYTES);
    const at = Number(pointer.readBigUInt64LE()) - calls.copyOut(list, out, 0);
    if (this.asker !== undefined) this.asker.alpn = list.toString("latin1", at, at + list[at - 1]!);
    return SSL_TLSEXT_ERR_OK;
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
    calls.onNewSession(context, 0);
    calls.onGetSession(context, 0);
    calls.contextCtrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, 0, null);
    if (this.#verifyMode === 0) this.#renewTickets(context, ticketKey);
    calls.contextCtrl(context, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, null);
    calls.contextCallbackCtrl(context, SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB, this.#onStatus);
    if (this.#verifyMode > 0) calls.setVerify(context, this.#verifyMode, this.#onVerify);
    if (this.#alpn !== undefined) calls.onAlpn(context, this.#onAlpn, 0);
    if (this.#onKeyLog !== undefined) calls.onKeyLog(context, this.#onKeyLog);
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
