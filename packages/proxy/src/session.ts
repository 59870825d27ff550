import type { ClientSession, ConnectionDigest, HttpPeer, ServerSession } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import { ResponseHeader, type HeaderFieldsInit, type RequestHeader } from "@sluice/http";
import type { Phase } from "./phase.ts";
import { RESPONDED, type Responded } from "./responded.ts";

export interface RespondOptions {
  /** Fields of the response. `Content-Length` is set from the body. */
  fields?: HeaderFieldsInit;
  /** Text is sent as UTF-8. Default: none. */
  body?: string | Uint8Array;
}

/** One request on its way through the proxy, as hooks see it. */
export class Session {
  /** The protocol's session, for what is not offered here. */
  readonly downstream: ServerSession;
  /** Where the request is. */
  phase: Phase = "readRequest";
  /** The method that went up in the latest attempt, which a hook may have changed. */
  sentMethod: string;
  /** Attempts made so far. */
  tries = 0;
  /** The peer of the latest attempt. */
  peer: HttpPeer | undefined = undefined;
  /** Whether the latest attempt used a connection from the pool. */
  upstreamReused = false;
  /** Payload bytes of the response that the upstream sent in the latest attempt. */
  upstreamBodyBytes = 0;

  constructor(downstream: ServerSession) {
    this.downstream = downstream;
    this.sentMethod = downstream.request.method;
  }

  /** When the head was read, in `performance.now()` milliseconds. */
  get startedAtMs(): number {
    return this.downstream.headReadAtMs;
  }

  /** The head as the client sent it. */
  get request(): RequestHeader {
    return this.downstream.request;
  }

  /** The final head that was sent down; `undefined` before. */
  get response(): ResponseHeader | undefined {
    return this.downstream.response;
  }

  /** Its status. */
  get responseStatus(): number | undefined {
    return this.downstream.response?.status;
  }

  /** Payload bytes sent down so far. */
  get responseBodyBytes(): number {
    return this.downstream.responseBodyBytes;
  }

  /** The client's connection. */
  get digest(): ConnectionDigest {
    return this.downstream.digest;
  }

  /** `host:port` of the client; `undefined` on a Unix socket. */
  get clientAddress(): string | undefined {
    return this.downstream.digest.remoteAddress;
  }

  /** `host:port` that the client connected to. */
  get serverAddress(): string | undefined {
    return this.downstream.digest.localAddress;
  }

  /**
   * Answers the request, whole. Return what it returns: `return session.respond(403)`.
   * @throws ProxyError `InternalError` when a final head was sent before; InvalidHeaderError for fields that cannot be.
   */
  respond(status: number, options: RespondOptions = {}): Responded {
    const header = ResponseHeader.build(status, options.fields);
    const given: unknown = options.body;
    if (given !== undefined && typeof given !== "string" && !(given instanceof Uint8Array)) {
      throw new TypeError(`respond: expected a body of text or bytes, got ${typeof given}`);
    }
    const body = typeof options.body === "string" ? Buffer.from(options.body) : options.body;
    const length = body?.length ?? 0;
    if (status >= 200 && status !== 204 && (length > 0 || status !== 304)) header.setContentLength(length);
    this.downstream.writeHeader(header, length === 0);
    if (length > 0) this.downstream.writeBody(body!);
    this.downstream.finish();
    return RESPONDED;
  }

  /**
   * Answers with an error: no body unless given, not to be stored, and the connection closes afterwards, since what is left
   * of the request cannot be trusted. Does nothing if a final head was already sent.
   */
  respondError(status: number, options: RespondOptions = {}): Responded {
    if (this.downstream.response !== undefined) return RESPONDED;
    this.downstream.disableKeepAlive();
    const fields = ResponseHeader.build(status, { "Cache-Control": "private, no-store" });
    if (options.fields !== undefined) fields.appendAll(options.fields);
    return this.respond(status, { ...options, fields });
  }

  /** @internal A new attempt begins. */
  beginAttempt(peer: HttpPeer): void {
    this.peer = peer;
    this.upstreamReused = false;
    this.upstreamBodyBytes = 0;
  }

  /** @internal */
  connected(upstream: ClientSession): void {
    this.upstreamReused = upstream.reused;
  }

  /** @internal @throws ProxyError when the client left, or sent what cannot be served, while we were busy. */
  throwIfOver(): void {
    const error: ProxyError | undefined = this.downstream.error;
    if (error !== undefined) throw error;
  }
}
