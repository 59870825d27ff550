import {
  CompressionRun,
  CompressionSettings,
  type CompressionDecision,
  type CompressionInfo,
  type HttpModule,
  type HttpModuleBuilder,
  type HttpModuleExchange,
} from "@sluice/core";
import type { HeaderFields, ResponseHeader } from "@sluice/http";
import type { Awaitable } from "./proxy-http.ts";

/**
 * The compression of what comes from the upstream, before the filters and the cache see it: settings for all attempts of a
 * request, all off at first. What the upstream was told in `Accept-Encoding` decides.
 */
export class UpstreamCompression extends CompressionSettings {
  #run: CompressionRun | undefined = undefined;

  /** What the latest attempt does, or why it does nothing; `undefined` before its final head. */
  get decision(): CompressionDecision | undefined {
    return this.#run?.decision;
  }

  /** What the latest attempt did so far; `undefined` if the body stays as it is. */
  get info(): CompressionInfo | undefined {
    return this.#run?.info;
  }

  /** @internal For a new attempt. */
  begin(exchange: HttpModuleExchange): CompressionRun {
    this.#run = new CompressionRun(this, exchange);
    return this.#run;
  }
}

/** @internal Its place among the upstream's modules: behind all others. */
export class UpstreamCompressionModule implements HttpModule {
  static readonly builder: HttpModuleBuilder<UpstreamCompressionModule> = {
    type: UpstreamCompressionModule,
    order: -32_768,
    onDemand: true,
    init: (exchange) => new UpstreamCompressionModule(exchange),
  };

  readonly #exchange: HttpModuleExchange;
  #run: CompressionRun | undefined = undefined;

  constructor(exchange: HttpModuleExchange) {
    this.#exchange = exchange;
  }

  begin(compression: UpstreamCompression): void {
    if (this.#exchange.responseBegun) compression.lock(true);
    else this.#run ??= compression.begin(this.#exchange);
  }

  responseHeader(response: ResponseHeader, end: boolean): void {
    this.#run?.responseHeader(response, end);
  }

  responseBody(piece: Uint8Array | undefined, end: boolean): Awaitable<Uint8Array | void> {
    return this.#run?.responseBody(piece, end);
  }

  responseTrailers(trailers: HeaderFields): void {
    this.#run?.responseTrailers(trailers);
  }

  responseFlush(): Awaitable<Uint8Array | void> {
    return this.#run?.responseFlush();
  }

  close(): void {
    this.#run?.close();
  }
}
