import { Socket } from "node:net";
import { TLSSocket, type SecureContext, type TLSSocketOptions } from "node:tls";
import type { ByteStream, OnRead, SocketReader } from "@sluice/core";

/** What Node keeps of a connection below its streams. None of it is documented; all of it is as old as Node 12. */
export interface TlsHandle {
  /** The TCP or pipe handle below. */
  readonly _parent: TransportHandle;
  reading: boolean;
  readonly fd: number;
  sni_context: unknown;
  oncertcb: (info: ClientHello) => void;
  onerror: ((error: Error) => void) | undefined;
  onnewsession: (id: Buffer, session: Buffer) => void;
  start(): void;
  receive(bytes: Buffer): void;
  enableCertCb(): void;
  enableSessionCallbacks(): void;
  certCbDone(): void;
  getSharedSigalgs?(): string[];
  setALPNProtocols?(list: Buffer): void;
  setServername(name: string): void;
  setOCSPResponse(response: Uint8Array): void;
  verifyError(): (Error & { code: string }) | null;
}

/** Whoever waits for a handshake: hears of its end once, either way. */
export interface HandshakeWaiter {
  onSecure(): void;
  /** OpenSSL does not go on, and has sent the alert that says why; the socket is open. */
  onRefused(error: Error): void;
  /** The socket is being destroyed; its descriptor is still open. */
  onDestroyed(error: Error | undefined): void;
}

/** What the client said, as far as it matters for the choice of a certificate. */
export interface ClientHello {
  readonly servername: string | false | null;
  readonly OCSPRequest: boolean;
}

interface TransportHandle {
  /** What was given to the system, or waits for it. */
  readonly bytesWritten?: number;
  readStart(): number;
  reset?(done: () => void): number;
  close(done: () => void): void;
}

interface NodeTlsSocket {
  _handle: TlsHandle | null;
  _tlsOptions: object;
  connecting: boolean;
  _releaseControl(): void;
  _wrapHandle(wrap: unknown, handle: unknown, active: boolean): unknown;
}

/** Node's `UV_EALREADY`: told by a handle that is asked to read, and does so already. */
const ALREADY_READING = -114;

const canAdopt = typeof (TLSSocket.prototype as unknown as Partial<NodeTlsSocket>)._wrapHandle === "function";

/** The handle for the socket that is being made: its constructor asks for it. */
let adopted: object | undefined = undefined;

/** How a socket speaks TLS: made once for many, as far as it can be. */
export interface AdoptOptions extends Pick<
  TLSSocketOptions,
  "isServer" | "requestCert" | "rejectUnauthorized" | "ALPNProtocols" | "session"
> {
  readonly secureContext: SecureContext;
  readonly allowHalfOpen: true;
  /** Of the reader, or that of all readers that begin with the shared buffer. */
  readonly onread: OnRead;
}

/** The most that a record of TLS carries (RFC 8446, section 5.1), and so what one read brings. */
export const RECORD_BYTES = 16_384;

/**
 * A TLS socket that takes the handle of a socket over instead of standing on top of it: one stream less for each connection, and its
 * plaintext is read into the buffers of a `SocketReader`. (Node offers that for TLS sockets that connect by themselves only.)
 *
 * Over any other stream it is what Node makes of it, and its bytes come by `data` events.
 */
export class AdoptedTlsSocket extends TLSSocket {
  /** Node's own. */
  declare secureConnecting: boolean;
  /** Told of the end of the handshake; then to be `undefined`. */
  waiter: HandshakeWaiter | undefined = undefined;
  /** The peer's direction ended with the connection, not by its own word. */
  truncated = false;
  /** Called for errors of TLS behind the handshake; what it gives is what the stream reports. */
  onTlsError: (error: Error) => Error = (error) => error;
  /** Of what is being written, the bytes that are not read from their memory any more. */
  #takenBytes = 0;
  /** The transport below, if it is a stream of JavaScript, has ended. */
  #transportEnded: (() => boolean) | undefined = undefined;

  /** @param stream Connected, nobody reads it. It is dead afterwards, or belongs to this socket. */
  constructor(stream: ByteStream, options: AdoptOptions, reader: SocketReader) {
    const handle = canAdopt ? takeHandle(stream) : undefined;
    let transportEnded = false;
    // First: TLS must not hear of it before.
    if (handle === undefined) stream.on("end", () => (transportEnded = true));
    const below = handle === undefined ? stream : undefined;
    adopted = handle;
    super(below as unknown as Socket, options);
    adopted = undefined;
    if (handle === undefined) {
      this.#transportEnded = () => transportEnded;
      return;
    }
    reader.attach(this);
    // Node takes a TLS socket without a stream below for one that is yet to connect.
    const node = this as unknown as NodeTlsSocket;
    node.connecting = false;
    // Its copy of the options, one for each connection, holds nothing else.
    node._tlsOptions = options;
    feedEarly(stream as Socket, this);
  }

  get native(): TlsHandle | null {
    return (this as unknown as NodeTlsSocket)._handle;
  }

  /**
   * What is written is mostly encrypted at once, so its memory may be used again. That it is counted by `writableLength` until a later
   * turn of the event loop had each 64 KB of a body take new memory: 40 % of what a response of that size cost.
   *
   * Node promises nothing of the kind, so it is looked at each time: when more bytes have gone to the transport than were given to TLS,
   * all of these were encrypted. What waits for a handshake, say, counts as lent. (To find it out once, by a connection in memory, had
   * Node's socket code see so many shapes of sockets that it was compiled for any, for good: 1 µs of each request by TLS.)
   */
  get lentLength(): number {
    // Corked, it is not known which is which.
    return this.writableCorked > 0 ? this.writableLength : Math.max(0, this.writableLength - this.#takenBytes);
  }

  override _write(chunk: string | Uint8Array, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // Text is copied.
    if (typeof chunk === "string") {
      this.#takenBytes = chunk.length;
      super._write(chunk, encoding, done);
      return;
    }
    const sentBytes = this.#sentBytes();
    super._write(chunk, encoding, done);
    this.#takenBytes = this.#sentBytes() - sentBytes > chunk.length ? chunk.length : 0;
  }

  override _writev(chunks: { chunk: string | Uint8Array; encoding: BufferEncoding }[], done: () => void): void {
    // Before the call: Node puts the bytes themselves in their place.
    let length = 0;
    for (const { chunk } of chunks) length += chunk.length;
    const sentBytes = this.#sentBytes();
    super._writev!(chunks, done);
    this.#takenBytes = this.#sentBytes() - sentBytes > length ? length : 0;
  }

  #sentBytes(): number {
    return this.native?._parent.bytesWritten ?? 0;
  }

  /** Begins the handshake of a client; a server waits for it. */
  start(): void {
    this.native?.start();
  }

  /**
   * Has the waiter hear of an error of the handshake while the socket is open. Node would close it at once, and a client that is
   * sending would read of a reset instead of the alert.
   */
  outlivesErrors(): void {
    const { native } = this;
    if (native === null || typeof native.onerror !== "function") return;
    const closeAtOnce = native.onerror;
    const onerror = (error: Error): void => {
      if (!this.secureConnecting) closeAtOnce.call(native, error);
      else this.waiter?.onRefused(error);
    };
    Object.assign(native, { onerror });
  }

  /** Nobody will ask to hear of secrets or sessions: what Node does for those costs with each listener that is added. */
  listensNoMore(): void {
    this.removeAllListeners("newListener");
  }

  /** The handshake is done: errors concern those who use the stream from now on. */
  release(): void {
    (this as unknown as NodeTlsSocket)._releaseControl();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.waiter?.onDestroyed(error ?? undefined);
    super._destroy(error, done);
  }

  /** @internal Node asks for the handle to speak TLS on. */
  _wrapHandle(wrap: unknown, handle: unknown, active: boolean): unknown {
    const base = TLSSocket.prototype as unknown as NodeTlsSocket;
    return base._wrapHandle.call(this, wrap, adopted ?? handle, active);
  }

  /** @internal Node reports an error of TLS, and would leave the stream open. */
  _emitTLSError(error: Error): void {
    this.destroy(this.onTlsError(error));
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null && !this.destroyed) {
      this.truncated = this.#transportEnded?.() ?? this.#endedBelow();
      if (this.secureConnecting) {
        this.destroy(Object.assign(new Error("the connection ended within the handshake"), { code: "ECONNRESET" }));
        return false;
      }
    }
    return super.push(chunk, encoding);
  }

  /**
   * A reset, so that what was sent cannot be taken for whole; also by those who do not ask for a close_notify.
   */
  override resetAndDestroy(): this {
    const below = this.native?._parent;
    if (below?.reset !== undefined) below.close = (done) => void below.reset!(done);
    return this.destroy();
  }

  /**
   * The end is told as soon as it is known. If it was the transport that ended, it does not read any more; what was paused by us can
   * only have heard of an end by close_notify.
   */
  #endedBelow(): boolean {
    const { native } = this;
    return native !== null && native.reading && native._parent.readStart() !== ALREADY_READING;
  }
}

function takeHandle(stream: ByteStream): object | undefined {
  // A TLS socket stays what it is: TLS within TLS.
  if (!(stream instanceof Socket) || stream instanceof TLSSocket) return undefined;
  const socket = stream as unknown as { _handle: object | null };
  const handle = socket._handle;
  if (handle === null || typeof handle !== "object") return undefined;
  socket._handle = null;
  return handle;
}

/** A peer that speaks first has often been read already. */
function feedEarly(from: Socket, to: AdoptedTlsSocket): void {
  if (from.readableLength === 0) return;
  const early = from.read() as Buffer | null;
  if (early !== null) process.nextTick(() => to.native?.receive(early));
}
