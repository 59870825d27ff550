import { ProxyError } from "@sluice/error";
import { ResponseHeader, type RequestHeader } from "@sluice/http";
import type { UpstreamClosedMessage } from "../diagnostics.ts";
import type { ClientSession, ClientSessionEvents, RequestBody } from "../http/client-session.ts";
import { StreamDigest, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import { Http1Connection } from "../http1/http1-connection.ts";
import { upstreamTruncated } from "../http1/upstream-errors.ts";
import type { WriteLimits } from "../http1/write-watch.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import type { SocketReader } from "../net/socket-reader.ts";

const log = logger("core");

/**
 * An upstream that is no HTTP server: whatever the client of a CONNECT wants to speak with it (RFC 9110, section 9.3.6). It is
 * connected to already, so the request is answered here, by `200 Connection Established`; after that its bytes are the response
 * body and ours go to it, and each side ends its direction alone. Serves one request.
 */
export class RawTunnelSession extends Http1Connection implements ClientSession {
  protected override get outlivesStream(): boolean {
    return true;
  }

  readonly digest: ConnectionDigest;
  readonly reused = false;
  receivedBytes = 0;
  readonly #address: string;
  readonly #reader: SocketReader | undefined;
  readonly #writeMs: number;
  #events: ClientSessionEvents | undefined = undefined;
  /** The head was told. */
  #open = false;
  /** Our direction has ended. */
  #writingDone = false;
  /** The upstream's end was told. */
  #readingDone = false;

  /**
   * @param address Where the stream leads to, for logs.
   * @param limits `writeMs`: the wait for an upstream that takes no bytes, in milliseconds; 0 waits for ever.
   */
  constructor(
    stream: ByteStream,
    address: string,
    limits: { readonly writeMs: number },
    options: { reader?: SocketReader | undefined; tls?: TlsDigest | undefined } = {},
  ) {
    super(stream, 0);
    this.digest = new StreamDigest(stream, options.tls);
    this.#address = address;
    this.#reader = options.reader;
    this.#writeMs = limits.writeMs;
    // What it says before it is asked, as some servers do, belongs to the tunnel.
    this.readingPaused = true;
    this.#reader?.start(this);
  }

  /** What there is to tell of it, now that it is closed. */
  get summary(): UpstreamClosedMessage {
    const { bytesRead, bytesWritten } = this.stream;
    const reason = this.#readingDone && this.#writingDone ? "not-reusable" : "exchange";
    const what = { address: this.#address, digest: this.digest, requests: 1, reason, error: this.streamError } as const;
    return { ...what, bytesRead, bytesWritten };
  }

  writeRequest(header: RequestHeader, _body: RequestBody, events: ClientSessionEvents): void {
    this.#events = events;
    // As from any upstream, nothing comes inside this call.
    queueMicrotask(() => this.#begin(header.method));
  }

  writeBody(chunk: Uint8Array): boolean {
    if (chunk.length === 0 || this.#writingDone) return true;
    return this.send(chunk);
  }

  finishRequest(): void {
    // The end of a CONNECT, which has no body, is not that of the tunnel.
    if (!this.#open || this.#writingDone) return;
    this.#writingDone = true;
    this.flush();
    if (!this.closed) this.stream.end();
  }

  keepChunk(): void {
    this.#reader?.keep();
  }

  lendChunk(): void {
    this.#reader?.lend();
  }

  pause(): void {
    this.readingPaused = true;
    this.updateReading();
  }

  resume(): void {
    if (!this.#open || !this.readingPaused) return;
    this.readingPaused = false;
    this.pump();
  }

  release(): void {
    this.#events = undefined;
    // The last that was written may still be leaving; the stream closes behind it.
    if (this.stream.writableLength === 0) this.stream.destroy();
    else this.watchUnsent();
  }

  destroy(): void {
    this.#events = undefined;
    // The end of the connection is the only end there is: what was cut must not look ended.
    if (this.#open && (!this.#writingDone || this.stream.writableLength > 0)) this.reset();
    else this.stream.destroy();
  }

  override onData(buffer: Buffer, end: number): void {
    this.receivedBytes += end;
    super.onData(buffer, end);
    if (this.input === buffer) this.keepChunk();
  }

  protected override onWriteFailed(): void {
    // Who else reads the stream may have more of it.
    if (this.#reader !== undefined) this.receivedBytes += this.rescueInput();
  }

  protected consume(): boolean {
    if (this.readingPaused || this.#events === undefined) return false;
    const { input, inputAt, inputEnd } = this;
    this.usedUpTo(inputEnd);
    this.#events.onResponseData(input!.subarray(inputAt, inputEnd));
    return true;
  }

  protected onConsumed(): void {
    if (!this.#open || this.readingPaused) return;
    this.#events?.onResponseBatch();
    if (this.peerEnded || this.closed) this.#onEnded();
  }

  protected onPeerEnd(): void {
    this.pump();
  }

  protected onStreamClosed(): void {
    // What arrived before comes first; but of a failure that nothing comes before, whoever has paused us is told at once.
    if (this.#open && this.readingPaused && this.input === undefined && !this.peerEnded) this.#onEnded();
    else this.pump();
  }

  protected onDrained(): void {
    this.#events?.onUpstreamWritable();
  }

  protected get writeLimits(): WriteLimits {
    return { writeMs: this.#writeMs, minSendBytesPerSecond: 0 };
  }

  protected onStalled(): void {
    const error = ProxyError.upstream("WriteTimedout", `the upstream took no bytes for ${this.#writeMs} ms`);
    // The end of a tunnel that nobody waits for any more.
    if (this.#events === undefined) log.warn({ peer: this.#address }, "cut an upstream that takes no bytes");
    this.#fail(error);
  }

  #begin(method: string): void {
    if (this.#events === undefined) return;
    if (method !== "CONNECT") {
      const context = `a peer with tunnel: true is for CONNECT; the request is a ${method}`;
      this.#fail(ProxyError.internal("InternalError", context));
      return;
    }
    if (this.#reader?.spokeEarly) {
      this.#fail(ProxyError.upstream("ReadError", "the upstream spoke before anybody read, and that is lost"));
      return;
    }
    if (this.closed) {
      this.#onEnded();
      return;
    }
    this.#open = true;
    this.readingPaused = false;
    this.#events.onResponseHeader(new ResponseHeader(200, "Connection Established", "1.1", []), false);
    this.pump();
  }

  /** The upstream ended its direction, or the stream closed. */
  #onEnded(): void {
    if (this.#events === undefined) return;
    if (this.peerEnded && !this.#readingDone) {
      if (this.truncated) {
        this.#fail(upstreamTruncated());
        return;
      }
      this.#readingDone = true;
      this.#events.onResponseEnd(undefined);
      this.#events?.onResponseBatch();
    }
    // The client may still be sending.
    if (this.#events === undefined || !this.closed || (this.#readingDone && this.#writingDone)) return;
    const cause = this.streamError;
    const type = cause === undefined ? "ConnectionClosed" : "ReadError";
    this.#fail(ProxyError.upstream(type, "the upstream closed the connection within the tunnel", cause));
  }

  #fail(error: ProxyError): void {
    const events = this.#events;
    this.#events = undefined;
    this.stream.destroy();
    events?.onUpstreamError(error);
  }
}
