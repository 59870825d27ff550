import type { RequestHeader } from "@sluice/http";
import { checkOptionNames } from "../config/known-options.ts";
import { HttpModuleContext } from "./http-module-context.ts";
import type { HttpModule, HttpModuleBuilder, HttpModuleType } from "./http-module.ts";

const BUILDER_NAMES = ["type", "order", "onDemand", "init"];
const MIN_ORDER = -32_768;
const MAX_ORDER = 32_767;

/** The modules that the requests of one service get: added before it starts, then fixed. */
export class HttpModules {
  /** In the order in which they run. */
  readonly #builders: HttpModuleBuilder[] = [];
  #places: ReadonlyMap<HttpModuleType, number> | undefined = undefined;
  #always = false;

  /**
   * @throws TypeError when the class is registered already, when the first request has been served, or for a builder that
   * is none; RangeError for an order out of range.
   */
  add<M extends HttpModule>(builder: HttpModuleBuilder<M>): this {
    checkBuilder(builder);
    const { name } = builder.type;
    if (this.#places !== undefined) {
      throw new TypeError(`HttpModules.add: ${name} comes too late; modules are added before the service starts`);
    }
    if (this.#builders.some(({ type }) => type === builder.type)) {
      throw new TypeError(`HttpModules.add: ${name} is registered already; a request has one module of a class`);
    }
    const order = builder.order ?? 0;
    const after = this.#builders.findIndex((other) => (other.order ?? 0) < order);
    this.#builders.splice(after < 0 ? this.#builders.length : after, 0, builder);
    return this;
  }

  /** The classes of the modules, in the order in which they run. */
  get types(): HttpModuleType[] {
    return this.#builders.map(({ type }) => type);
  }

  /** No module can be added any more. The first {@link start} or {@link open} does the same. */
  freeze(): this {
    this.#placesOf();
    return this;
  }

  /** The modules of a new request; `undefined` if it gets none, unless somebody asks for one: then {@link open}. */
  start(request: RequestHeader): HttpModuleContext | undefined {
    this.#placesOf();
    return this.#always ? this.open(request) : undefined;
  }

  /**
   * The modules of a request, also if there are none yet.
   * @param responseBegun A final head was sent before any module could see it.
   * @throws ProxyError `InternalError` naming the module that could not be made.
   */
  open(request: RequestHeader, responseBegun = false): HttpModuleContext {
    return new HttpModuleContext(this.#builders, this.#placesOf(), request, responseBegun);
  }

  #placesOf(): ReadonlyMap<HttpModuleType, number> {
    if (this.#places === undefined) {
      this.#places = new Map(this.#builders.map(({ type }, place) => [type, place]));
      this.#always = this.#builders.some(({ onDemand }) => onDemand !== true);
    }
    return this.#places;
  }
}

function checkBuilder(builder: HttpModuleBuilder): void {
  const given: unknown = builder;
  if (typeof given !== "object" || given === null) {
    throw new TypeError(`HttpModules.add: expected a builder, an object with type and init, got ${typeof given}`);
  }
  checkOptionNames("HttpModules.add", builder, BUILDER_NAMES);
  if (typeof builder.type !== "function") {
    throw new TypeError(`HttpModules.add: type: expected a class, got ${typeof builder.type}`);
  }
  const { order = 0, type } = builder;
  if (typeof builder.init !== "function") {
    throw new TypeError(`HttpModules.add: ${type.name}: init: expected a function, got ${typeof builder.init}`);
  }
  if (!Number.isInteger(order) || order < MIN_ORDER || order > MAX_ORDER) {
    throw new RangeError(
      `HttpModules.add: ${type.name}: order: expected an integer from ${MIN_ORDER} to ${MAX_ORDER}, got ${order}`,
    );
  }
}
