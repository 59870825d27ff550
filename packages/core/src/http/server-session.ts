import type { ProxyError } from "@sluice/error";
import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import type { ConnectionDigest } from "./connection-digest.ts";
import type { SessionLimits } from "./session-limits.ts";

/**
 * One request from a client and the response to it, whatever the protocol: HTTP/1, a stream of HTTP/2, a subrequest.
 *
 * Everything passes by method calls, without promises: the body comes to `events`, `writeBody` says when to wait. Only one
 * party drives a session at a time.
 */
export interface ServerSession {
  /** The head as the client sent it, normalised only where RFC 9112 demands it. */
  readonly request: RequestHeader;
  readonly digest: ConnectionDigest;
  /** When the head was complete, in `performance.now()` milliseconds. */
  readonly headReadAtMs: number;
  /**
   * The protocol that the client asks to change to (the value of Upgrade, RFC 9110 section 7.8); `undefined` if it does not.
   * Writing a 101 head changes: from then on the bytes that are written are raw ones, and each side may end its direction
   * alone. A request body that is still coming keeps its framing: its end is told by `onRequestEnd`, raw bytes follow it, and
   * `onRequestEnd` is called once more for their end.
   */
  readonly upgrade: string | undefined;
  /**
   * The client sent CONNECT (RFC 9110, section 9.3.6): it has no body, and writing a 2xx head makes a tunnel, with raw bytes both
   * ways as after a 101. After any other answer the connection closes. Absent where that cannot be.
   */
  readonly isConnect?: boolean;
  /** How this exchange is treated, where it is to be otherwise than the service says. Set them early. */
  readonly limits: SessionLimits;
  /** The request has no body at all. Known from the start. */
  readonly requestBodyEmpty: boolean;
  /** Every byte of the request body was delivered. */
  readonly requestBodyDone: boolean;
  /** Payload bytes delivered so far. */
  readonly requestBodyBytes: number;
  /**
   * Set when the request cannot be served any more: it was malformed, or the client left, or it sent nothing for too long.
   * Source downstream. Also passed to `events.onDownstreamError` if there is a listener at that moment.
   */
  readonly error: ProxyError | undefined;
  /**
   * When {@link error} was set, the final head, or the end of the response, had not been written: if the error says that the
   * client is gone, what was written since went nowhere. `undefined` without an error, or for one that came after the end.
   */
  readonly failedBefore?: "head" | "end" | undefined;
  /** The final head that was written (101 counts as final); `undefined` before. */
  readonly response: ResponseHeader | undefined;
  /** Payload bytes of the response taken so far. */
  readonly responseBodyBytes: number;
  /**
   * Set by whoever may still refuse when the last byte was given: a body that reaches its Content-Length keeps a byte back until
   * {@link finish}, since a client that has them all takes the response for whole; where there are no bytes, the head waits. What
   * {@link writeBody} is given must stay as it is until then.
   */
  holdsEnd: boolean;
  /** Bytes that were given are not with the system yet: their memory must stay as it is. */
  readonly holdsBytes: boolean;
  /** The response was written to its end. */
  readonly responseDone: boolean;
  /**
   * Whoever drives the session. Setting it starts the delivery of the body; `undefined` stops it, and bytes wait.
   */
  events: ServerSessionEvents | undefined;
  /**
   * Called when {@link error} is set, also while nobody drives the session: for whoever waits for something else meanwhile.
   * Called as well when a client leaves whose request could not be served anyway.
   */
  onGone: ((error: ProxyError) => void) | undefined;

  /** The service stops: who can should come to an end, and this connection serves no other request. Absent where nobody says so. */
  readonly shuttingDown?: boolean;

  /**
   * The response is complete, and the connection will serve another request after this one, as far as is known. Absent where
   * a connection does not serve one request after another.
   */
  readonly servesAnother?: boolean;
  /**
   * Whatever the app wants to know when the connection's next request comes. Dropped when the connection ends, or a request on
   * it cannot be read. Absent where {@link servesAnother} is.
   */
  connectionContext?: unknown;

  /**
   * Inside `onRequestData` or the `onRequestBatch` behind it: the chunk is kept beyond that. Without it the memory is used for the
   * next read.
   */
  keepChunk(): void;
  /**
   * Inside `onRequestData`: its chunk is shown to code that is not to have it later. Unless it is kept, it is taken away, so that no
   * view of it shows other bytes than it did. Without effect where memory is not used again.
   */
  lendChunk(): void;
  /** Asks for no more body until {@link resumeBody}. May be called inside `onRequestData`. */
  pauseBody(): void;
  resumeBody(): void;

  /**
   * Writes an interim (1xx) head at once; ignored for HTTP/1.0 clients, and after the final head. `false` asks to wait for
   * `events.onDownstreamWritable`.
   * @throws ProxyError `InternalError` for a status that is not 1xx, or is 101.
   */
  writeInformational(header: ResponseHeader): boolean;
  /**
   * Writes the final head; the session adds what the protocol needs (framing, `Connection`, `Date` if missing) and leaves
   * out hop-by-hop fields. It may be held until {@link flush}, body bytes or the end, so that they leave together.
   * @param end No body will follow.
   * @throws ProxyError `InternalError` when a final head was written before, or for a status that is not final.
   */
  writeHeader(header: ResponseHeader, end: boolean): void;
  /**
   * Takes body bytes (any length; of a response that can have no body they are dropped). `false` asks to wait for
   * `events.onDownstreamWritable`; nothing is lost if one does not.
   * @throws ProxyError `InternalError` for more bytes than Content-Length says; none of the chunk is sent.
   */
  writeBody(chunk: Uint8Array): boolean;
  /**
   * Ends the response, with trailers where the protocol can carry them; what is held leaves with this turn of the event loop. If the
   * body is shorter than its Content-Length, the connection is cut and `PrematureBodyEnd` is thrown.
   */
  finish(trailers?: HeaderFields): void;
  /** Sends what is held. */
  flush(): void;
  /** Ends the connection (HTTP/2: the stream) so that an unfinished response cannot look complete. */
  abort(): void;
  /**
   * Takes back a response that was begun and could not be cut so that it shows, since only its end is missing, if none of it has left:
   * as if nothing had been written, another can be. `false` if that cannot be. Absent where it never can.
   */
  takeBack?(): boolean;
  /** No further request on this connection after this one. Call it before the head is written, so that the client is told. */
  disableKeepAlive(): void;
}

/** What a session tells whoever drives it. */
export interface ServerSessionEvents {
  /** The chunk is valid during the call, unless {@link ServerSession.keepChunk} is called. */
  onRequestData(chunk: Buffer): void;
  onRequestEnd(trailers: HeaderFields | undefined): void;
  /** Everything that had arrived was delivered: the moment to send on what was held to leave together. */
  onRequestBatch(): void;
  /** Bytes can be written again after `writeBody` said `false`. */
  onDownstreamWritable(): void;
  /** See {@link ServerSession.error}. Nothing else follows. */
  onDownstreamError(error: ProxyError): void;
}

/** What answers requests. */
export interface HttpApp {
  /**
   * Answers one request. The connection goes on with the next when the promise resolves; a response that is not complete
   * by then is cut. A session that comes with {@link ServerSession.error} set could not be read; it may still be answered.
   * Rejecting is a defect of the app: it is logged and the connection is cut.
   */
  handleRequest(session: ServerSession): Promise<void>;
}
