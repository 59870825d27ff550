import { ProxyError } from "@sluice/error";
import { InvalidHeaderError, type HeaderFields, type RequestHeader, type ResponseHeader } from "@sluice/http";
import { logger } from "../log/logger.ts";
import { isPromise, runSteps, type Awaitable, type Steps } from "./awaitable.ts";
import type { HttpModule, HttpModuleBuilder, HttpModuleExchange, HttpModuleType } from "./http-module.ts";

const log = logger("core");

/** What follows the pieces of a response body when its end has passed the modules. */
export interface ResponseEnd {
  /** More body, to be sent first. */
  readonly body: Uint8Array | undefined;
  /** `undefined` also when a module gave bytes instead. */
  readonly trailers: HeaderFields | undefined;
}

/**
 * The modules of one request, run in order. Made by `HttpModules`; used by whoever drives the session.
 *
 * What a method gives is a promise only if a module gave one, and then the next call for the same direction waits for it.
 * The first error ends the run of a hook: a ProxyError as it is, anything else as the cause of an `InternalError` that names
 * the module.
 */
export class HttpModuleContext implements HttpModuleExchange {
  readonly request: RequestHeader;
  /**
   * Set by whoever drives the session: called when a module keeps bytes back while nothing else comes. Call
   * {@link flushResponse} then, when the latest call for the response is through.
   */
  onFlushWanted: (() => void) | undefined = undefined;
  readonly #builders: readonly HttpModuleBuilder[];
  readonly #places: ReadonlyMap<HttpModuleType, number>;
  /** In the order in which they run. */
  readonly #modules: (HttpModule | undefined)[];
  #responseBegun: boolean;
  #responseEnded = false;
  #closed = false;

  /** @internal */
  constructor(
    builders: readonly HttpModuleBuilder[],
    places: ReadonlyMap<HttpModuleType, number>,
    request: RequestHeader,
    responseBegun: boolean,
  ) {
    this.#builders = builders;
    this.#places = places;
    this.request = request;
    this.#responseBegun = responseBegun;
    this.#modules = Array.from({ length: builders.length });
    try {
      for (let place = 0; place < builders.length; place++) {
        if (builders[place]!.onDemand !== true) this.#modules[place] ??= this.#make(place);
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get responseBegun(): boolean {
    return this.#responseBegun;
  }

  /**
   * Some module has to do with the body of the response: it may give bytes where there were none, take some away, or keep
   * pieces. To be asked when the final head has passed.
   */
  get hasResponseBody(): boolean {
    return this.#modules.some(
      (module) =>
        module !== undefined &&
        module.ignoresResponseBody !== true &&
        (module.responseBody !== undefined ||
          module.responseTrailers !== undefined ||
          module.responseDone !== undefined),
    );
  }

  /** Some module sees the request body. */
  get hasRequestBody(): boolean {
    return this.#modules.some((module) => module?.requestBody !== undefined);
  }

  /**
   * Some module may refuse the request when all of its body has passed: one that sees the body or the trailers, or one that nobody
   * has asked for yet, since what it sees is known when it is made. To be asked when the head goes up.
   */
  get mayRefuseRequestEnd(): boolean {
    return this.#modules.some(
      (module) => module === undefined || module.requestBody !== undefined || module.requestTrailers !== undefined,
    );
  }

  /**
   * The module of exactly this class; one that waits for demand is made, unless the request is over. `undefined` if the
   * class is not registered.
   * @throws ProxyError `InternalError` when it could not be made.
   */
  get<M extends HttpModule>(type: HttpModuleType<M>): M | undefined {
    const place = this.#places.get(type);
    if (place === undefined) return undefined;
    if (!this.#closed) this.#modules[place] ??= this.#make(place);
    return this.#modules[place] as M | undefined;
  }

  wantFlush(): void {
    if (this.#responseBegun && !this.#responseEnded && !this.#closed) this.onFlushWanted?.();
  }

  /** The request's head, before the app's filters. */
  requestHeader(): Awaitable<void> {
    return runSteps(this.#edit("requestHeader", (module) => module.requestHeader?.(this.request)));
  }

  /** A piece of the request body; gives what goes on instead. */
  requestBody(piece: Uint8Array): Awaitable<Uint8Array> {
    return runSteps(this.#pass("requestBody", piece));
  }

  /** The end of the request body, once; gives what is still to be sent of it. */
  requestEnd(trailers: HeaderFields | undefined): Awaitable<Uint8Array | undefined> {
    return runSteps(this.#endRequest(trailers));
  }

  /** A head of the response, interim ones included, after the app's filters. */
  responseHeader(response: ResponseHeader, end: boolean): Awaitable<void> {
    return runSteps(this.#passHead(response, end));
  }

  /** A piece of the response body; gives what goes on instead. */
  responseBody(piece: Uint8Array): Awaitable<Uint8Array> {
    return runSteps(this.#pass("responseBody", piece));
  }

  /** What the modules keep back, as far as they can give it now. */
  flushResponse(): Awaitable<Uint8Array | undefined> {
    return this.#responseEnded ? undefined : runSteps(this.#flush());
  }

  /**
   * The end of the response, once. What a module adds at the end is body for those that run after it, so that a
   * compression compresses it, too.
   */
  responseEnd(trailers: HeaderFields | undefined): Awaitable<ResponseEnd> {
    this.#responseEnded = true;
    return runSteps(this.#endResponse(trailers));
  }

  /** The request is over, however it ended. Later calls have no effect; it does not throw. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onFlushWanted = undefined;
    for (const module of this.#modules) {
      try {
        module?.close?.();
      } catch (error) {
        log.error({ err: error }, `module ${module!.constructor.name} failed to close`);
      }
    }
  }

  *#edit(hook: string, call: (module: HttpModule) => unknown): Steps<void> {
    for (const module of this.#modules) {
      if (module !== undefined && !this.#closed) yield* attempt(module, hook, () => call(module));
    }
  }

  *#passHead(response: ResponseHeader, end: boolean): Steps<void> {
    yield* this.#edit("responseHeader", (module) => module.responseHeader?.(response, end));
    if (response.status >= 200 || response.status === 101) this.#responseBegun = true;
  }

  *#pass(hook: "requestBody" | "responseBody", piece: Uint8Array): Steps<Uint8Array> {
    let result = piece;
    for (const module of this.#modules) {
      if (module?.[hook] === undefined || this.#closed) continue;
      const now = result;
      result = (yield* attemptBytes(module, hook, () => module[hook]!(now, false))) ?? now;
    }
    return result;
  }

  *#endRequest(trailers: HeaderFields | undefined): Steps<Uint8Array | undefined> {
    let body: Uint8Array | undefined;
    for (const module of this.#modules) {
      if (module === undefined || this.#closed) continue;
      body = yield* this.#endBody(module, "requestBody", body, true);
      if (trailers !== undefined) {
        yield* attempt(module, "requestTrailers", () => module.requestTrailers?.(trailers));
      }
    }
    return body;
  }

  *#flush(): Steps<Uint8Array | undefined> {
    let body: Uint8Array | undefined;
    for (const module of this.#modules) {
      if (module === undefined || this.#closed) continue;
      body = yield* this.#endBody(module, "responseBody", body, false);
      body = joined(body, yield* attemptBytes(module, "responseFlush", () => module.responseFlush?.()));
    }
    return body;
  }

  *#endResponse(given: HeaderFields | undefined): Steps<ResponseEnd> {
    let trailers = given;
    let body: Uint8Array | undefined;
    for (const module of this.#modules) {
      if (module === undefined || this.#closed) continue;
      body = yield* this.#endBody(module, "responseBody", body, true);
      const fields = trailers;
      if (fields !== undefined) {
        const instead = yield* attemptBytes(module, "responseTrailers", () => module.responseTrailers?.(fields));
        if (instead !== undefined) trailers = undefined;
        body = joined(body, instead);
      }
      body = joined(body, yield* attemptBytes(module, "responseDone", () => module.responseDone?.()));
    }
    return { body, trailers };
  }

  /** Gives `module` the body that those before it have added, and the end. */
  *#endBody(
    module: HttpModule,
    hook: "requestBody" | "responseBody",
    added: Uint8Array | undefined,
    end: boolean,
  ): Steps<Uint8Array | undefined> {
    if (module[hook] === undefined) return added;
    let body = added;
    if (added !== undefined && added.length > 0) {
      body = (yield* attemptBytes(module, hook, () => module[hook]!(added, false))) ?? added;
    }
    return end ? joined(body, yield* attemptBytes(module, hook, () => module[hook]!(undefined, true))) : body;
  }

  #make(place: number): HttpModule {
    const builder = this.#builders[place]!;
    const { type } = builder;
    try {
      const module: unknown = builder.init(this);
      if (module instanceof type) return module;
      throw new TypeError(`init must make an object of the class ${type.name}, synchronously`);
    } catch (error) {
      throw moduleError(type.name, "init", error);
    }
  }
}

function* attempt(module: HttpModule, hook: string, call: () => unknown): Steps<unknown> {
  try {
    const given = call();
    return isPromise(given) ? yield given : given;
  } catch (error) {
    throw moduleError(module.constructor.name, hook, error);
  }
}

function* attemptBytes(module: HttpModule, hook: string, call: () => unknown): Steps<Uint8Array | undefined> {
  const given = yield* attempt(module, hook, call);
  if (given === undefined || given === null) return undefined;
  if (given instanceof Uint8Array) return given;
  const error = new TypeError(`expected a Uint8Array or nothing, got ${typeof given}`);
  throw moduleError(module.constructor.name, hook, error);
}

function moduleError(name: string, hook: string, thrown: unknown): ProxyError {
  if (thrown instanceof ProxyError) return thrown;
  const what = thrown instanceof InvalidHeaderError ? "InvalidHTTPHeader" : "InternalError";
  return ProxyError.internal(what, `module ${name}, ${hook}`, thrown);
}

/** One after the other; nothing is lost when several have something to add. */
function joined(first: Uint8Array | undefined, second: Uint8Array | undefined): Uint8Array | undefined {
  if (first === undefined || first.length === 0) return second ?? first;
  return second === undefined || second.length === 0 ? first : Buffer.concat([first, second]);
}
