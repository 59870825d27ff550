import type { HeaderFields, RequestHeader } from "@sluice/http";
import type { RequestBody } from "../http/client-session.ts";
import { Http1Connection } from "./http1-connection.ts";
import { RequestWriting } from "./request-writing.ts";
import { checkHosts, lastChunkText, requestHeadText } from "./serialize.ts";

/**
 * The way up of a connection to an origin: heads and bodies of requests, one behind the other, and our direction of a tunnel. What
 * becomes of the answers is known in `Http1ClientConnection`.
 */
export abstract class Http1RequestOutput extends Http1Connection {
  /** As `ClientSession.holdsEnd`. */
  holdsEnd = false;
  /** The protocol was changed: the origin's bytes are raw, ours once the request body has ended; each side ends alone. */
  protected tunnel = false;
  /** How the request is framed that is being written. */
  protected readonly writing: RequestWriting = new RequestWriting();
  /** What is to go up as the next chunk. */
  readonly #chunk: Uint8Array[] = [];
  #chunkBytes = 0;
  /** The last byte of the body, as {@link holdsEnd} asks; -1: it is not there, or has gone up. */
  #lastByte = -1;

  /** The request was written whole: it is the origin's turn. */
  protected abstract onRequestWritten(): void;

  /** Nothing is held for a request that is to come. */
  protected startOutput(): void {
    this.holdsEnd = false;
    this.#lastByte = -1;
  }

  /** @throws ProxyError for a head that cannot be written; nothing of it is then. */
  protected writeHead(header: RequestHeader, body: RequestBody): void {
    const text = requestHeadText(header, this.writing.start(header, body));
    checkHosts();
    this.holdBack(text);
  }

  writeBody(chunk: Uint8Array): boolean {
    const { writing } = this;
    if (chunk.length === 0 || writing.done) return true;
    writing.take(chunk.length);
    if (!writing.chunked) return this.holdsEnd && writing.lengthReached ? this.#sendAllBut(chunk) : this.send(chunk);
    this.#chunk.push(chunk);
    this.#chunkBytes += chunk.length;
    return this.writable;
  }

  #sendAllBut(last: Uint8Array): boolean {
    this.#lastByte = last[last.length - 1]!;
    return last.length > 1 ? this.send(last.subarray(0, -1)) : this.writable;
  }

  override flush(): boolean {
    if (this.#chunkBytes > 0) this.#writeChunk();
    return this.writing.done ? this.flushLater() : super.flush();
  }

  /** One chunk of all that came since the last {@link flush}: how a body was cut into chunks says nothing (RFC 9112, section 7.1). */
  #writeChunk(): void {
    this.hold(`${this.#chunkBytes.toString(16)}\r\n`);
    for (const piece of this.#chunk) this.gather(piece);
    this.hold("\r\n");
    this.forgetChunk();
  }

  protected forgetChunk(): void {
    this.#chunk.length = 0;
    this.#chunkBytes = 0;
  }

  finishRequest(trailers?: HeaderFields): void {
    const { chunked, done, raw } = this.writing;
    if (done) return;
    this.writing.end(this.tunnel);
    if (this.#lastByte >= 0) this.hold(String.fromCharCode(this.#lastByte));
    this.#lastByte = -1;
    if (this.#chunkBytes > 0) this.#writeChunk();
    if (chunked) this.hold(lastChunkText(trailers));
    if (raw) {
      super.flush();
      this.stream.end();
    } else {
      this.flush();
      this.onRequestWritten();
    }
  }
}
