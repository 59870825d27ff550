import {
  checkOptionNames,
  shown,
  SubrequestSession,
  type ClientSession,
  type ConnectionDigest,
  type HttpModuleContext,
  type HttpPeer,
  type ServerSession,
  type SessionLimits,
} from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { ResponseHeader, type HeaderFields, type HeaderFieldsInit, type RequestHeader } from "@sluice/http";
import { isClientGone } from "./error-answers.ts";
import { outcomeOf, type Outcome } from "./outcome.ts";
import type { Phase } from "./phase.ts";
import type { ProxyStatus } from "./proxy-status.ts";
import { RequestBodyReader, type RequestBodyOptions } from "./request-body.ts";
import type { RequestIds } from "./request-id.ts";
import { RESPONDED, type Responded } from "./responded.ts";
import {
  NO_MODULES,
  openModules,
  startModules,
  type ModuleLists,
  type ModuleLookup,
  type SessionModules,
} from "./session-modules.ts";
import type { SubrequestFamily } from "./subrequest/subrequest-family.ts";
import type { SubrequestInfo } from "./subrequest/subrequest-info.ts";
import type { SubrequestSpawner } from "./subrequest/subrequest-spawner.ts";
import { RequestTimes, type Timing } from "./timing.ts";
import type { UpstreamCompression } from "./upstream-compression.ts";

export interface RespondOptions {
  /** Fields of the response. `Content-Length` is set from the body. */
  fields?: HeaderFieldsInit;
  /** Text is sent as UTF-8. Default: none. */
  body?: string | Uint8Array;
}

/** Those of {@link RespondOptions}. */
export const RESPOND_OPTION_NAMES: readonly string[] = ["fields", "body"];

/** What a request must know of its proxy. */
interface ProxyOfSession {
  readonly stopping: boolean;
  readonly requestIds?: RequestIds | undefined;
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
  /** Why the request failed for good; `undefined` as long as it has not. */
  failure: ProxyError | undefined = undefined;
  /** The status that `failToProxy` decided on; `undefined` if it was not asked, or failed. */
  failedStatus: number | undefined = undefined;
  /** Another attempt was wanted, and all were used up. */
  retriesExhausted = false;
  /** What a subrequest knows of itself; `undefined` for a request of a client. */
  subrequest: SubrequestInfo | undefined = undefined;
  /** Makes subrequests; only where `allowSpawningSubrequest` gave `true`. */
  subrequests: SubrequestSpawner | undefined = undefined;
  /** @internal The subrequests of this request; `undefined` as long as there are none. */
  family: SubrequestFamily | undefined = undefined;
  /** @internal The client said how long the body is that it sends. */
  readonly saidLength: boolean;
  /** @internal The modules that there are. */
  readonly moduleLists: ModuleLists;
  /** @internal The modules of this request; `undefined` as long as it has none. */
  ownModules: SessionModules | undefined = undefined;
  /** @internal The head that goes up in the latest attempt. */
  outgoing: RequestHeader | undefined = undefined;
  /** @internal The final head of the latest attempt has passed the upstream's modules. */
  upstreamHeadPassed = false;
  /** @internal The app's own. */
  ctx: unknown = undefined;
  /** @internal */
  readonly times: RequestTimes = new RequestTimes();
  /** @internal Reads the body for hooks; `undefined` as long as none has asked for it. */
  bodyReader: RequestBodyReader | undefined = undefined;
  readonly #proxyStatus: ProxyStatus | undefined;
  readonly #service: ProxyOfSession | undefined;
  #requestId: string | undefined = undefined;

  /**
   * @param proxyStatus Makes the `Proxy-Status` of our own answers; without it they have none.
   * @param moduleLists The modules that there are. Default: none.
   * @param service Knows whether it stops, and how requests are numbered.
   */
  constructor(
    downstream: ServerSession,
    proxyStatus?: ProxyStatus,
    moduleLists: ModuleLists = NO_MODULES,
    service?: ProxyOfSession,
  ) {
    this.downstream = downstream;
    this.#service = service;
    this.sentMethod = downstream.request.method;
    this.#proxyStatus = proxyStatus;
    this.moduleLists = moduleLists;
    this.saidLength = !downstream.requestBodyEmpty && downstream.request.has("content-length");
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

  /** How the request ended for its client, for logs and counters; in `logging` it is final, before as it stands. */
  get outcome(): Outcome {
    return outcomeOf(this.downstream);
  }

  /**
   * The service was told to stop. Requests in flight have the grace period; what takes its time, such as a long poll, should come
   * to an end, and background work should not begin.
   */
  get shuttingDown(): boolean {
    return this.#service?.stopping === true || this.downstream.shuttingDown === true;
  }

  /**
   * Names this request in logs, here and where it goes; see the option `requestId` of {@link httpProxy}, without which it is
   * `undefined`. The same each time.
   */
  get requestId(): string | undefined {
    return (this.#requestId ??= this.#service?.requestIds?.idOf(this));
  }

  /** When what happened: as it stands, and whole in `logging`. */
  get timing(): Timing {
    return this.times.read(this.downstream);
  }

  /**
   * The modules of this request on the client's side: `session.modules.get(ResponseCompression)?.setLevel(6)`. What is to see the
   * request's head is asked for in `earlyRequestFilter`, what is to see the response's before it goes down.
   */
  get modules(): ModuleLookup {
    return openModules(this).openDownstream(this.downstream);
  }

  /**
   * The modules on the upstream's side, made anew for each attempt.
   * @throws ProxyError `InternalError` before `upstreamRequestFilter`: there are none yet.
   */
  get upstreamModules(): ModuleLookup {
    return openModules(this).openUpstream(this.outgoing, this.upstreamHeadPassed, this.phase);
  }

  /** Whether what the upstream sends is compressed or decompressed at once. Can be set until its final head has come. */
  get upstreamCompression(): UpstreamCompression {
    return openModules(this).openCompression(this.outgoing, this.upstreamHeadPassed);
  }

  /** Whether this request was spawned by another one, instead of sent by a client. */
  get isSubrequest(): boolean {
    return this.subrequest !== undefined;
  }

  /** How this exchange is treated, where it is to be otherwise than the service says. Set them in `earlyRequestFilter`. */
  get limits(): SessionLimits {
    return this.downstream.limits;
  }

  /** Bytes pass as they are, both ways: a 101, or a 2xx to a CONNECT, went down. */
  get wasUpgraded(): boolean {
    const status = this.downstream.response?.status ?? 0;
    return status === 101 || (this.downstream.isConnect === true && status >= 200 && status < 300);
  }

  /** The client's connection. */
  get digest(): ConnectionDigest {
    return this.downstream.digest;
  }

  /** `host:port` of the client; `undefined` on a Unix socket. */
  get clientAddress(): string | undefined {
    return this.downstream.digest.remoteAddress;
  }

  /**
   * The client's IP address alone, IPv6 without brackets: for `X-Forwarded-For`, and as a key for [limits](../../../docs/limits.md).
   * `undefined` on a Unix socket.
   */
  get clientIp(): string | undefined {
    const address = this.clientAddress;
    if (address === undefined || address.startsWith("unix:")) return undefined;
    return address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  }

  /** `host:port` that the client connected to. */
  get serverAddress(): string | undefined {
    return this.downstream.digest.localAddress;
  }

  /**
   * The whole request body, to decide by: `JSON.parse((await session.readRequestBody({ maxBytes: 65_536 })).toString())`. It goes up
   * all the same, in every attempt, through the modules and `requestBodyFilter`. What is given is what the client sent, and
   * the very bytes that go up: a copy can be changed. Empty at once where there is none.
   *
   * From `earlyRequestFilter` to `upstreamPeer` of the first attempt; once it was read, another call gives the same buffer, also
   * in `upstreamPeer` of further attempts. A client that waits for `100 Continue` gets it. After an error that is caught the
   * request may go up nevertheless, or be read again with other limits.
   *
   * @throws ProxyError (the promise rejects) with status 413 for more bytes and 408 for more time than allowed, the session's
   * error when the client leaves or sends what is no body, `InternalError` elsewhere than said above; TypeError or RangeError
   * for options that cannot be.
   */
  readRequestBody(options: RequestBodyOptions): Promise<Buffer> {
    return this.#openBody().read(options);
  }

  /**
   * Reads the request body to its end and throws it away, so that the client's connection can go on after an answer that does
   * not want it. The request cannot go up then. Where, limits and errors as with {@link readRequestBody}.
   */
  drainRequestBody(options: RequestBodyOptions): Promise<void> {
    return this.#openBody().drain(options);
  }

  /** What followed the request body, once {@link readRequestBody} has read it; edits go up. `undefined` without trailers. */
  get requestTrailers(): HeaderFields | undefined {
    return this.bodyReader?.trailers;
  }

  /**
   * Answers the request, whole. Return what it returns: `return session.respond(403)`. Only a hook that may answer can call it;
   * when the client has left, nothing happens.
   * @throws ProxyError `InternalError` when a final head was sent before, or in a hook that cannot answer;
   * InvalidHeaderError for fields that cannot be; TypeError for an option that is not known.
   */
  respond(status: number, options: RespondOptions = {}): Responded {
    this.checkPlace("session.respond");
    checkOptionNames("session.respond", options, RESPOND_OPTION_NAMES);
    return this.#answer(status, options, this.failure, this.#answerModules());
  }

  /**
   * Answers with an error: no body unless given, not to be stored, and the connection closes afterwards, since what is left
   * of the request cannot be trusted. Does nothing if a final head was already sent.
   */
  respondError(status: number, options: RespondOptions = {}): Responded {
    if (this.downstream.response !== undefined) return RESPONDED;
    this.checkPlace("session.respondError");
    checkOptionNames("session.respondError", options, RESPOND_OPTION_NAMES);
    const fields = ResponseHeader.build(status, NOT_TO_BE_STORED);
    if (options.fields !== undefined) fields.appendAll(options.fields);
    // RFC 9110, section 15.5.6: a 405 says what is allowed.
    if (status === 405 && !fields.has("allow")) fields.set("Allow", "");
    this.downstream.disableKeepAlive();
    return this.#answer(status, { ...options, fields }, this.failure, undefined);
  }

  /**
   * Asks no upstream: answers with an empty 502 that is not to be stored. It is a decision, not a failure, so the client's
   * connection stays open, if the request's body was read.
   */
  decline(): Responded {
    this.checkPlace("session.decline");
    const failure = this.failure ?? ProxyError.httpStatus(502);
    return this.#answer(502, { fields: NOT_TO_BE_STORED }, failure, this.#answerModules());
  }

  /** @internal The client is told the id of its request, if it is to be. */
  markResponse(header: ResponseHeader): void {
    this.#service?.requestIds?.toClient(header, this);
  }

  /** @internal A new attempt begins. */
  beginAttempt(peer: HttpPeer): void {
    this.peer = peer;
    this.upstreamReused = false;
    this.upstreamBodyBytes = 0;
  }

  /** @internal A hook has answered, though the answer may still be on its way through the modules. */
  get answered(): boolean {
    return this.downstream.response !== undefined || this.ownModules?.answering !== undefined;
  }

  /** @internal The modules on the client's side; `undefined` as long as there are none. */
  get activeModules(): HttpModuleContext | undefined {
    return this.ownModules?.downstream;
  }

  /** @internal */
  connected(upstream: ClientSession): void {
    this.upstreamReused = upstream.reused;
    this.times.connected();
  }

  /** @internal The request failed for good. */
  failed(error: ProxyError): void {
    this.failure = error;
    this.bodyReader?.close();
    if (this.downstream instanceof SubrequestSession) this.downstream.reportFailure(error);
  }

  /** @internal @throws ProxyError when the client left, or sent what cannot be served, while we were busy. */
  throwIfOver(): void {
    const error: ProxyError | undefined = this.downstream.error;
    if (error !== undefined) throw error;
  }

  #openBody(): RequestBodyReader {
    this.bodyReader ??= new RequestBodyReader(this);
    return this.bodyReader;
  }

  /** @param modules What the answer passes; `undefined` sends it as it is. */
  #answer(
    status: number,
    options: RespondOptions,
    failure: ProxyError | undefined,
    modules: HttpModuleContext | undefined,
  ): Responded {
    const { downstream } = this;
    const header = ResponseHeader.build(status, options.fields);
    const given: unknown = options.body;
    if (given !== undefined && typeof given !== "string" && !(given instanceof Uint8Array)) {
      throw new TypeError(`respond: expected a body of text or bytes, got ${shown(given)}`);
    }
    // An answer that nobody gets is not to be counted as one.
    if (isClientGone(downstream.error)) return RESPONDED;
    const body = typeof options.body === "string" ? Buffer.from(options.body) : options.body;
    const length = body?.length ?? 0;
    if (status >= 200 && status !== 204 && (length > 0 || status !== 304)) header.setContentLength(length);
    const proxyStatus = this.#proxyStatus?.valueFor(status, failure, this.peer);
    if (proxyStatus !== undefined) header.append("Proxy-Status", proxyStatus);
    this.markResponse(header);
    if (modules !== undefined) {
      this.ownModules!.answer(downstream, header, body);
      return RESPONDED;
    }
    downstream.writeHeader(header, length === 0);
    if (length > 0) downstream.writeBody(body!);
    downstream.finish();
    return RESPONDED;
  }

  /** The modules that an answer of the app passes. One to a request that failed starts none: they may be why. */
  #answerModules(): HttpModuleContext | undefined {
    return this.failure === undefined ? startModules(this) : this.activeModules;
  }

  /** @internal Elsewhere the upstream would be asked all the same, or is answering already. */
  checkPlace(what: string): void {
    if (this.failure !== undefined || ANSWERING.has(this.phase)) return;
    const hint = `a request is answered in ${[...ANSWERING].join(", ")}; here, throw ProxyError.httpStatus(…)`;
    throw ProxyError.internal("InternalError", `${what} in ${this.phase}: ${hint}`);
  }
}

const NOT_TO_BE_STORED: HeaderFieldsInit = { "Cache-Control": "private, no-store" };

const ANSWERING: ReadonlySet<Phase> = new Set<Phase>([
  "earlyRequestFilter",
  "requestFilter",
  "proxyUpstreamFilter",
  "failToProxy",
]);
