import type { KeyLog } from "../key-log.ts";
import {
  SSL_TLSEXT_ERR_ALERT_FATAL,
  SSL_TLSEXT_ERR_NOACK,
  SSL_TLSEXT_ERR_OK,
  type OpensslCalls,
} from "./openssl-calls.ts";

/** Of `SSL_select_next_proto`: they have one in common. */
const OPENSSL_NPN_NEGOTIATED = 1;
const POINTER_BYTES = 8;

/** What all connections of a listener say. */
export interface HandshakeSettings {
  /** The protocols to choose from, the preferred first, as they stand in a handshake. */
  readonly alpnList: Buffer | undefined;
  readonly keyLog: KeyLog | undefined;
}

/** Whoever is in the middle of a handshake: OpenSSL asks while it is called. */
export interface HandshakeAsker {
  alpn: string | undefined;
  /** A response is stapled. */
  readonly ocsp: boolean;
  /** A certificate is chosen. */
  readonly chosen: boolean;
  readonly settings: HandshakeSettings;
}

/**
 * The functions of ours that OpenSSL calls, for all listeners together: a process can have 8192 of them, and what it has it keeps, so a
 * set for each listener would be the end of whoever opens and closes many.
 */
export class HandshakeCallbacks {
  /** Who is in the middle of a handshake. */
  asker: HandshakeAsker | undefined = undefined;
  readonly onCertificate: number;
  readonly onVerify: number;
  readonly onStatus: number;
  readonly onAlpn: number;
  readonly onKeyLog: number;

  constructor(calls: OpensslCalls) {
    const { native } = calls;
    this.onCertificate = native.callback("int sluice_on_cert(intptr_t, intptr_t)", () =>
      this.asker?.chosen === true ? 1 : -1,
    );
    // Whoever shows a certificate that does not verify is let in, and looked at behind the handshake.
    this.onVerify = native.callback("int sluice_on_verify(int, intptr_t)", () => 1);
    this.onStatus = native.callback("int sluice_on_status(intptr_t, intptr_t)", () =>
      this.asker?.ocsp === true ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK,
    );
    this.onAlpn = native.callback(
      "int sluice_on_alpn(intptr_t, intptr_t, intptr_t, intptr_t, unsigned int, intptr_t)",
      (_ssl, out, outLength, offered, offeredLength) =>
        chooseProtocol(calls, this.asker, out, outLength, offered, offeredLength),
    );
    this.onKeyLog = native.callback("void sluice_on_key_log(intptr_t, const char *)", (_ssl, line) =>
      this.asker?.settings.keyLog?.write(`${line}\n`),
    );
  }
}

function chooseProtocol(
  calls: OpensslCalls,
  asker: HandshakeAsker | undefined,
  out: number,
  outLength: number,
  offered: number,
  offeredLength: number,
): number {
  const list = asker?.settings.alpnList;
  if (asker === undefined || list === undefined) return SSL_TLSEXT_ERR_NOACK;
  const common = calls.selectProtocol(out, outLength, list, list.length, offered, offeredLength);
  if (common !== OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  const pointer = Buffer.alloc(POINTER_BYTES);
  calls.copyOut(pointer, out, POINTER_BYTES);
  const at = Number(pointer.readBigUInt64LE()) - calls.copyOut(list, out, 0);
  asker.alpn = list.toString("latin1", at, at + list[at - 1]!);
  return SSL_TLSEXT_ERR_OK;
}
