import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import type { Awaitable } from "./awaitable.ts";

/**
 * A part that works on requests and responses beside the hooks of an app: compression, a bridge between protocols, a
 * signature. One object serves one request; its fields are its memory.
 *
 * Every hook is optional. One that returns no promise is not waited for; while one waits, nothing more is read from the
 * side that it belongs to. Throwing fails the request: before a response has begun it is answered with the status of the
 * error, afterwards the response is cut.
 */
export interface HttpModule {
  /** May edit the head, which later phases see. Does not run for a module that was made after this phase. */
  requestHeader?(request: RequestHeader): Awaitable<void>;

  /**
   * Every piece of the request body, then once with `end` and no piece; a request without a body gets that one call only.
   * Returns what goes on instead (an empty array: nothing, for now); nothing returned passes the piece on.
   *
   * The piece is lent: it is there until the hook returns, or until what it returned is settled if that is a promise. Keep a copy
   * (`Buffer.from(piece)`) of what you need later, and do not change it in place; what you return is not touched.
   */
  requestBody?(piece: Uint8Array | undefined, end: boolean): Awaitable<Uint8Array | void>;

  /** After the end of the body, if the request has trailers. May edit them. */
  requestTrailers?(trailers: HeaderFields): Awaitable<void>;

  /**
   * May edit the head. Runs for every head, interim ones (1xx) included; the final one comes last. If an attempt fails while
   * a module still waits with the final head, that of the next attempt follows, and the one before counts for nothing.
   * @param end No body will follow.
   */
  responseHeader?(response: ResponseHeader, end: boolean): Awaitable<void>;

  /**
   * Every piece of the response body, then once with `end` and no piece, also when there was no body. After a 101 the
   * pieces are those of the new protocol. Pieces are lent, and what is returned goes on, as with {@link requestBody}. Who changes the length takes
   * `Content-Length` away in {@link responseHeader}.
   */
  responseBody?(piece: Uint8Array | undefined, end: boolean): Awaitable<Uint8Array | void>;

  /**
   * Asked when the final head has passed: whether the body of this response is none of the module's business, so that it is
   * not slowed down on its way. {@link responseBody} may run all the same. Default false.
   */
  readonly ignoresResponseBody?: boolean;

  /** Returns what can be sent of the bytes that it has kept back; see {@link HttpModuleExchange.wantFlush}. */
  responseFlush?(): Awaitable<Uint8Array | void>;

  /**
   * After the end of the body, if the response has trailers. May edit them, or return bytes, which become the end of the
   * body instead of the trailers.
   */
  responseTrailers?(trailers: HeaderFields): Awaitable<Uint8Array | void>;

  /** The response is complete, trailers included. May return a last piece of body. */
  responseDone?(): Awaitable<Uint8Array | void>;

  /**
   * The request is over, however it ended: gives back what the module holds. Runs once, and nothing after it; a hook that
   * still waits may fail, which nobody notices.
   */
  close?(): void;
}

/** What a module knows of its request. */
export interface HttpModuleExchange {
  /** The request's head, as edited so far. */
  readonly request: RequestHeader;
  /** The final head of the response has passed the modules. */
  readonly responseBegun: boolean;
  /** Another module of this request; see {@link HttpModuleContext.get}. */
  get<M extends HttpModule>(type: HttpModuleType<M>): M | undefined;
  /**
   * Asks that {@link HttpModule.responseFlush} is called soon, since the module keeps bytes back and hears of nothing new.
   * Nothing happens if the response ends first.
   */
  wantFlush(): void;
}

/** The class of a module, by which it is found. */
export type HttpModuleType<M extends HttpModule = HttpModule> = abstract new (...args: never[]) => M;

/** Makes the modules of one class. */
export interface HttpModuleBuilder<M extends HttpModule = HttpModule> {
  /** What `init` makes an object of. A class can be registered once. */
  readonly type: HttpModuleType<M>;
  /**
   * Integer from -32,768 to 32,767; default 0. Higher runs first, for requests and for responses alike; of equal orders
   * the one that was added first.
   */
  readonly order?: number;
  /**
   * A request gets the module only when somebody asks for it by `get`. Default false: every request gets one. With no
   * module made, modules cost nothing.
   */
  readonly onDemand?: boolean;
  /** Makes the module of one request. Must be quick: it runs for every request, or for every one that asks. */
  init(exchange: HttpModuleExchange): M;
}
