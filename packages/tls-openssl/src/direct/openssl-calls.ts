import type { NativeCalls, NativeValue } from "./native-transport.ts";

type Call = (...values: (number | Uint8Array | string | null)[]) => number;
type TextCall = (...values: number[]) => string | null;

/** Numbers of OpenSSL 3, which are part of its binary interface. */
export const SSL_ERROR_SSL = 1;
export const SSL_ERROR_WANT_READ = 2;
export const SSL_ERROR_WANT_X509_LOOKUP = 4;
export const SSL_ERROR_ZERO_RETURN = 6;
export const SSL_VERIFY_PEER = 1;
export const SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2;
export const SSL_TLSEXT_ERR_OK = 0;
export const SSL_TLSEXT_ERR_ALERT_FATAL = 2;
export const SSL_TLSEXT_ERR_NOACK = 3;
export const SSL_MODE_RELEASE_BUFFERS = 0x10;
/** What `SSL_ctrl` and `SSL_CTX_ctrl` are asked for. */
export const SSL_CTRL_MODE = 33;
export const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
export const SSL_CTRL_SET_TLSEXT_TICKET_KEYS = 59;
export const SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB = 63;
export const SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP = 71;
export const SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB = 72;
export const SSL_CTRL_GET_TLSEXT_STATUS_REQ_TYPE = 127;
/** `ERR_GET_LIB` of an error of TLS. */
const ERR_LIB_SSL = 20;
const OPENSSL_3 = 3;

/** The functions of OpenSSL that a server needs. Addresses are numbers. */
export class OpensslCalls {
  readonly native: NativeCalls;
  readonly sslNew: Call;
  readonly sslFree: Call;
  readonly setAcceptState: Call;
  readonly setBio: Call;
  readonly doHandshake: Call;
  readonly read: Call;
  readonly write: Call;
  readonly shutdown: Call;
  readonly getError: Call;
  readonly version: Call;
  readonly currentCipher: Call;
  readonly cipherName: TextCall;
  readonly serverName: TextCall;
  readonly sessionReused: Call;
  readonly verifyResult: Call;
  readonly peerCertificate: Call;
  readonly freeCertificate: Call;
  readonly writeCertificate: Call;
  readonly setCertCallback: Call;
  readonly useContext: Call;
  readonly ctrl: Call;
  readonly contextCtrl: Call;
  readonly contextCallbackCtrl: Call;
  readonly onNewSession: Call;
  readonly onGetSession: Call;
  readonly onTicketKey: Call;
  readonly onAlpn: Call;
  readonly onKeyLog: Call;
  readonly setVerify: Call;
  readonly selectProtocol: Call;
  readonly bioNew: Call;
  readonly bioFree: Call;
  readonly bioMemory: Call;
  readonly bioUpRef: Call;
  readonly bioWrite: Call;
  readonly bioRead: Call;
  readonly bioPending: Call;
  readonly allocate: Call;
  readonly copyIn: Call;
  readonly copyOut: Call;
  readonly clearErrors: Call;
  readonly peekError: Call;
  readonly reasonOf: TextCall;

  /** @throws Error that says which function there is not: Node.js may be built with another library. */
  constructor(native: NativeCalls) {
    this.native = native;
    const define = (name: string, result: string, ...types: string[]): Call =>
      native.define(name, result, types) as (...values: NativeValue[]) => number;
    const text = (name: string, ...types: string[]): TextCall =>
      native.define(name, "str", types) as unknown as TextCall;
    const at = "intptr";
    const bytes = "void *";
    const major = define("OPENSSL_version_major", "uint")();
    if (major !== OPENSSL_3) throw new Error(`expected OpenSSL ${OPENSSL_3}, and it is ${major}`);
    this.sslNew = define("SSL_new", at, at);
    this.sslFree = define("SSL_free", "void", at);
    this.setAcceptState = define("SSL_set_accept_state", "void", at);
    this.setBio = define("SSL_set_bio", "void", at, at, at);
    this.doHandshake = define("SSL_do_handshake", "int", at);
    this.read = define("SSL_read", "int", at, bytes, "int");
    this.write = define("SSL_write", "int", at, bytes, "int");
    this.shutdown = define("SSL_shutdown", "int", at);
    this.getError = define("SSL_get_error", "int", at, "int");
    this.version = define("SSL_version", "int", at);
    this.currentCipher = define("SSL_get_current_cipher", at, at);
    this.cipherName = text("SSL_CIPHER_standard_name", at);
    this.serverName = text("SSL_get_servername", at, "int");
    this.sessionReused = define("SSL_session_reused", "int", at);
    this.verifyResult = define("SSL_get_verify_result", "long", at);
    this.peerCertificate = define("SSL_get1_peer_certificate", at, at);
    this.freeCertificate = define("X509_free", "void", at);
    this.writeCertificate = define("i2d_X509_bio", "int", at, at);
    this.setCertCallback = define("SSL_set_cert_cb", "void", at, at, at);
    this.useContext = define("SSL_set_SSL_CTX", at, at, at);
    this.ctrl = define("SSL_ctrl", "long", at, "int", "long", at);
    this.contextCtrl = define("SSL_CTX_ctrl", "long", at, "int", "long", bytes);
    this.contextCallbackCtrl = define("SSL_CTX_callback_ctrl", "long", at, "int", at);
    this.onNewSession = define("SSL_CTX_sess_set_new_cb", "void", at, at);
    this.onGetSession = define("SSL_CTX_sess_set_get_cb", "void", at, at);
    this.onTicketKey = define("SSL_CTX_set_tlsext_ticket_key_evp_cb", "int", at, at);
    this.onAlpn = define("SSL_CTX_set_alpn_select_cb", "void", at, at, at);
    this.onKeyLog = define("SSL_CTX_set_keylog_callback", "void", at, at);
    this.setVerify = define("SSL_CTX_set_verify", "void", at, "int", at);
    this.selectProtocol = define("SSL_select_next_proto", "int", at, at, bytes, "uint", at, "uint");
    this.bioNew = define("BIO_new", at, at);
    this.bioFree = define("BIO_free", "int", at);
    this.bioMemory = define("BIO_s_mem", at);
    this.bioUpRef = define("BIO_up_ref", "int", at);
    this.bioWrite = define("BIO_write", "int", at, bytes, "int");
    this.bioRead = define("BIO_read", "int", at, bytes, "int");
    this.bioPending = define("BIO_ctrl_pending", "size_t", at);
    this.allocate = define("CRYPTO_malloc", at, "size_t", "str", "int");
    this.copyIn = define("memcpy", at, at, bytes, "size_t");
    this.copyOut = define("memcpy", at, bytes, at, "size_t");
    this.clearErrors = define("ERR_clear_error", "void");
    this.peekError = define("ERR_peek_error", "ulong");
    this.reasonOf = text("ERR_reason_error_string", "ulong");
  }

  /** The error that OpenSSL reports, in the form that Node.js gives it; forgets it, and those behind it. */
  takeError(): Error {
    const code = this.peekError();
    const reason = (code === 0 ? null : this.reasonOf(code)) ?? "unknown reason";
    this.clearErrors();
    const library = ((code >>> 23) & 0xff) === ERR_LIB_SSL ? "SSL" : "OSSL";
    const name = reason.toUpperCase().replaceAll(" ", "_");
    return Object.assign(new Error(reason), { code: `ERR_${library}_${name}` });
  }
}
