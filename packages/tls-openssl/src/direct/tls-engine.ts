import { HandshakeCallbacks } from "./handshake-callbacks.ts";
import type { NativeTransport } from "./native-transport.ts";
import { OpensslCalls } from "./openssl-calls.ts";

/** What one read of the transport brings, and more than a record holds. */
const PLAIN_BYTES = 65_536;
/** What a transport copies, so that its memory is free at once. */
const OUTPUT_BYTES = 16_384;

/**
 * OpenSSL's two ends, one pair for all connections: each is done with what it was fed, or takes it back, before another one comes. For each
 * connection they would be memory, twice as much as the largest record that came.
 */
export class TlsEngine {
  readonly calls: OpensslCalls;
  readonly callbacks: HandshakeCallbacks;
  /** For what is to be encrypted, if it is in pieces or text. */
  readonly gathered: Buffer = Buffer.allocUnsafeSlow(OUTPUT_BYTES);
  #plain: Buffer | undefined = undefined;
  readonly #output: Buffer = Buffer.allocUnsafeSlow(OUTPUT_BYTES);
  readonly #bioIn: number;
  readonly #bioOut: number;

  /** @throws Error where this Node.js has no such OpenSSL. */
  constructor({ native }: NativeTransport) {
    this.calls = new OpensslCalls(native);
    this.callbacks = new HandshakeCallbacks(this.calls);
    this.#bioIn = this.calls.bioNew(this.calls.bioMemory());
    this.#bioOut = this.calls.bioNew(this.calls.bioMemory());
  }

  /** A connection of the context at that address, as a server. It is to be freed. */
  newServer(context: number): number {
    const { calls } = this;
    const ssl = calls.sslNew(context);
    if (ssl === 0) throw calls.takeError();
    // Each of the two is given away.
    calls.bioUpRef(this.#bioIn);
    calls.bioUpRef(this.#bioOut);
    calls.setBio(ssl, this.#bioIn, this.#bioOut);
    calls.setAcceptState(ssl);
    return ssl;
  }

  /** The connection that OpenSSL is asked for next reads these. */
  feed(bytes: Uint8Array, length: number = bytes.length): void {
    this.calls.bioWrite(this.#bioIn, bytes, length);
  }

  /** There is more than the connection has read. */
  get hasInput(): boolean {
    return this.calls.bioPending(this.#bioIn) > 0;
  }

  /** Takes back what the connection has not read. */
  takeInput(): Buffer {
    const rest = Buffer.allocUnsafeSlow(this.calls.bioPending(this.#bioIn));
    if (rest.length > 0) this.calls.bioRead(this.#bioIn, rest, rest.length);
    return rest;
  }

  /** Memory for what is decrypted. Whoever is told of it may have another connection told of its own, so it is lent to one at a time. */
  takePlain(): Buffer {
    const plain = this.#plain ?? Buffer.allocUnsafeSlow(PLAIN_BYTES);
    this.#plain = undefined;
    return plain;
  }

  /** Gives it back, or what there is in its place because somebody has kept some of it. */
  givePlain(plain: Buffer): void {
    this.#plain = plain;
  }

  /**
   * What is to be sent for the connection that OpenSSL was asked for last; `undefined`: nothing. To be taken before another is. A short
   * piece is good until the next call; a longer one is memory of its own.
   */
  takeOutput(): Buffer | undefined {
    const { calls } = this;
    const output = this.#output;
    const bytes = calls.bioRead(this.#bioOut, output, OUTPUT_BYTES);
    if (bytes <= 0) return undefined;
    const rest = bytes < OUTPUT_BYTES ? 0 : calls.bioPending(this.#bioOut);
    if (rest === 0) return output.subarray(0, bytes);
    const all = Buffer.allocUnsafeSlow(bytes + rest);
    output.copy(all);
    calls.bioRead(this.#bioOut, all.subarray(bytes), rest);
    return all;
  }

  /** The certificate of the other side, in DER. */
  peerCertificate(ssl: number): Buffer | undefined {
    const { calls } = this;
    const certificate = calls.peerCertificate(ssl);
    if (certificate === 0) return undefined;
    const bio = calls.bioNew(calls.bioMemory());
    calls.writeCertificate(bio, certificate);
    const der = Buffer.allocUnsafeSlow(calls.bioPending(bio));
    calls.bioRead(bio, der, der.length);
    calls.bioFree(bio);
    calls.freeCertificate(certificate);
    return der;
  }
}
