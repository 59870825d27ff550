import type { HeaderFields, ResponseHeader } from "@sluice/http";
import type { Awaitable } from "../modules/awaitable.ts";
import type { HttpModule, HttpModuleBuilder, HttpModuleExchange } from "../modules/http-module.ts";
import { CompressionRun, type CompressionInfo } from "./compression-run.ts";
import { CompressionSettings, type CompressionOptions } from "./compression-settings.ts";
import type { CompressionDecision } from "./decide.ts";

/** After most others: what they add to a body is compressed, too. */
const ORDER = -16_384;

/**
 * Makes the module that compresses or decompresses what goes to the client, by what the client accepts. With nothing on it
 * waits for demand and costs nothing: a filter turns it on by `session.modules.get(ResponseCompression)?.setLevel(6)`.
 *
 * A body that mixes a secret with what an attacker can choose gives the secret away by its compressed length (BREACH): leave
 * such responses alone.
 * @throws TypeError or RangeError naming the option that cannot be.
 */
export function responseCompression(options?: CompressionOptions): HttpModuleBuilder<ResponseCompression> {
  const settings = new CompressionSettings(options);
  return {
    type: ResponseCompression,
    order: ORDER,
    onDemand: !settings.enabled,
    init: (exchange) => new ResponseCompression(settings, exchange),
  };
}

/** The compression of one response: its settings, which filters may change until the final head has come, and its work. */
export class ResponseCompression extends CompressionSettings implements HttpModule {
  readonly #run: CompressionRun;

  /** @internal Made by {@link responseCompression}. */
  constructor(settings: CompressionSettings, exchange: HttpModuleExchange) {
    super();
    this.takeSettingsOf(settings);
    this.#run = new CompressionRun(this, exchange);
    this.lock(exchange.responseBegun);
  }

  /** What is done, or why nothing is; `undefined` before the final head. */
  get decision(): CompressionDecision | undefined {
    return this.#run.decision;
  }

  /** What was done so far; `undefined` if the body stays as it is. */
  get info(): CompressionInfo | undefined {
    return this.#run.info;
  }

  get ignoresResponseBody(): boolean {
    return this.#run.ignoresResponseBody;
  }

  responseHeader(response: ResponseHeader, end: boolean): void {
    this.#run.responseHeader(response, end);
  }

  responseBody(piece: Uint8Array | undefined, end: boolean): Awaitable<Uint8Array | void> {
    return this.#run.responseBody(piece, end);
  }

  responseTrailers(trailers: HeaderFields): void {
    this.#run.responseTrailers(trailers);
  }

  responseFlush(): Awaitable<Uint8Array | void> {
    return this.#run.responseFlush();
  }

  close(): void {
    this.#run.close();
  }
}
