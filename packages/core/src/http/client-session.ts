import type { ProxyError } from "@sluice/error";
import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import type { ConnectionDigest } from "./connection-digest.ts";

/** How the end of a request body is told. */
export type RequestBody = "none" | "content-length" | "unknown-length";

/**
 * One request to an upstream and the response to it, whatever the protocol. Ends with exactly one of {@link release} and
 * {@link destroy}.
 */
export interface ClientSession {
  readonly digest: ConnectionDigest;
  /** The connection came from the pool. */
  readonly reused: boolean;
  /**
   * Trailers may follow a response body with Content-Length. Absent where they exclude each other: by HTTP/1 only a chunked body has
   * trailers, and none that is chunked has a length (RFC 9112, sections 6.2 and 7.1.2).
   */
  readonly trailersBehindLength?: boolean;
  /** Bytes of any kind that the upstream sent for this request; 0 means that it may not even have seen it. */
  readonly receivedBytes: number;

  /**
   * For a request that cannot be sent twice, before its head is: whether the connection is still there once all that has arrived from the
   * upstream is read, which may be its end. `true` at once where the answer is known, of a connection that is new or was used a moment
   * ago. Absent where no connection is used again. (An end that is still on its way nobody can see: RFC 9112, section 9.6.)
   */
  isStillOpen?(): true | Promise<boolean>;

  /**
   * Sends the head, with framing by `body`; hop-by-hop fields must have left it, but for Upgrade, which asks to change the
   * protocol. Held until {@link flush} or body bytes. Events begin to come.
   *
   * After a 101 head, or a 2xx to CONNECT, what comes is raw at once. What is written is raw when the request body has ended, which
   * may be still going up then, under its own framing: its {@link finishRequest} ends the body, and another ends our direction.
   * @throws ProxyError `InvalidHTTPHeader` for a head that cannot be sent; then nothing was, and {@link destroy} is what is left.
   */
  writeRequest(header: RequestHeader, body: RequestBody, events: ClientSessionEvents): void;
  /** Bytes that were given are not with the system yet: their memory must stay as it is. */
  readonly holdsBytes: boolean;
  /**
   * Set before {@link writeBody} by whoever may still give the request up when its last byte was given: of a body that reaches its
   * Content-Length that byte is kept back until {@link finishRequest}, since an origin that has them all takes the request for whole.
   * Absent where the end is told in another way.
   */
  holdsEnd?: boolean;
  /**
   * Takes body bytes, which may be held until {@link flush}; `false` asks to wait for `events.onUpstreamWritable`. Their memory
   * must stay as it is until then, and after it as long as {@link holdsBytes} says.
   */
  writeBody(chunk: Uint8Array): boolean;
  /** Ends the request, with trailers if its length was unknown; what is held leaves with this turn of the event loop. */
  finishRequest(trailers?: HeaderFields): void;
  /** Sends what is held, the end of a request with this turn of the event loop; `false` asks to wait for `events.onUpstreamWritable`. */
  flush(): boolean;
  /**
   * Inside `onResponseData` or the `onResponseBatch` behind it: the chunk is kept beyond that. Without it the memory is used for
   * the next read.
   */
  keepChunk(): void;
  /**
   * Inside `onResponseData`: its chunk is shown to code that is not to have it later. Unless it is kept, it is taken away, so that no
   * view of it shows other bytes than it did. Without effect where memory is not used again.
   */
  lendChunk(): void;
  /** No more response events until {@link resume}; may be called inside an event. */
  pause(): void;
  resume(): void;
  /** The exchange is over and clean: the connection may serve another request, if the protocol and the peer allow it. */
  release(): void;
  /** The exchange is given up: the connection (HTTP/2: the stream) ends. No event follows. */
  destroy(): void;
}

/** What an upstream answers. Order: informational*, header (101 too), data*, end; an error can come at any point and is the last. */
export interface ClientSessionEvents {
  /** An interim head, 1xx but not 101. */
  onInformational(header: ResponseHeader): void;
  /** @param end No body follows; `onResponseEnd` is still called. */
  onResponseHeader(header: ResponseHeader, end: boolean): void;
  /** The chunk is valid during the call, unless {@link ClientSession.keepChunk} is called. */
  onResponseData(chunk: Buffer): void;
  onResponseEnd(trailers: HeaderFields | undefined): void;
  /** Everything that had arrived was delivered: the moment to send on what was held to leave together. */
  onResponseBatch(): void;
  /** Bytes can be written again after `writeBody` said `false`. */
  onUpstreamWritable(): void;
  /**
   * Source upstream: `ConnectionClosed`, `ReadError`, `ReadTimedout`, `WriteTimedout`, `InvalidHTTPHeader`, `InvalidChunk`.
   * Retry is `"reusedOnly"` when the connection ended before a single byte of a response came.
   */
  onUpstreamError(error: ProxyError): void;
}
