import { ProxyError } from "@sluice/error";
import type { RequestHeader } from "@sluice/http";
import type { RequestBody } from "../http/client-session.ts";
import { parseLength } from "./framing.ts";
import type { BodyFraming } from "./serialize.ts";

/**
 * What becomes of what we write to an origin:
 * - `body`: as the request is framed → `done`; after a change of protocol → `raw`
 * - `raw`: bytes as they are → `done`
 * - `done`: nothing → `raw`, by a change of protocol
 */
type State = "body" | "raw" | "done";

/** The request as it is written to an origin: how its body is framed, and whether that is kept to. */
export class RequestWriting {
  #state: State = "done";
  #framing: BodyFraming = "none";
  /** Body bytes that Content-Length still promises. */
  #owedBytes = 0;

  /** @throws ProxyError `InvalidHTTPHeader` for a length that is none. */
  start(header: RequestHeader, body: RequestBody): BodyFraming {
    this.#owedBytes = body === "content-length" ? parseLength(header.get("content-length") ?? "") : 0;
    if (this.#owedBytes < 0)
      throw ProxyError.internal("InvalidHTTPHeader", "a request body without a Content-Length to end it");
    this.#state = body === "none" ? "done" : "body";
    this.#framing = body === "unknown-length" ? "chunked" : body;
    return this.#framing;
  }

  /** Nothing more is written. */
  get done(): boolean {
    return this.#state === "done";
  }

  /** What is written is no body: our direction of a tunnel. */
  get raw(): boolean {
    return this.#state === "raw";
  }

  /** All that Content-Length promises was taken. */
  get lengthReached(): boolean {
    return this.#state === "body" && this.#framing === "content-length" && this.#owedBytes === 0;
  }

  /** What is written next is to be framed as a chunk. */
  get chunked(): boolean {
    return this.#state === "body" && this.#framing === "chunked";
  }

  /** The protocol is changed, for what comes behind the body. */
  changeProtocol(): void {
    if (this.#state === "done") this.#state = "raw";
  }

  /** So many bytes are written. @throws ProxyError `InternalError` when they are more than Content-Length says. */
  take(bytes: number): void {
    if (this.#state !== "body" || this.#framing !== "content-length") return;
    // What goes beyond the promised length would be read as the next request, and what fits would look like all.
    if (bytes > this.#owedBytes) {
      const context = `the request body is ${bytes - this.#owedBytes} bytes or more longer than its Content-Length`;
      throw ProxyError.internal("InternalError", context).setDetail("content-length");
    }
    this.#owedBytes -= bytes;
  }

  /**
   * The body ends, or our direction of a tunnel.
   * @param tunnel The protocol was changed.
   * @throws ProxyError `PrematureBodyEnd` when the body is shorter than its Content-Length.
   */
  end(tunnel: boolean): void {
    if (this.#owedBytes > 0) {
      const context = `the request body ended ${this.#owedBytes} bytes before its Content-Length`;
      throw ProxyError.internal("PrematureBodyEnd", context);
    }
    this.#state = tunnel && this.#state === "body" ? "raw" : "done";
  }
}
