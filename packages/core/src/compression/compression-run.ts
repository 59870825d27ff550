import type { HeaderFields, ResponseHeader } from "@sluice/http";
import type { Awaitable } from "../modules/awaitable.ts";
import type { HttpModule, HttpModuleExchange } from "../modules/http-module.ts";
import { Deadline } from "../net/deadline.ts";
import type { CompressionSettings } from "./compression-settings.ts";
import type { CompressionAlgorithm } from "./content-coding.ts";
import { decideCompression, type CompressionDecision } from "./decide.ts";
import { editHead, editTrailers } from "./edit-head.ts";
import { createDecoder, createEncoder, flushKind } from "./encoder.ts";
import type { PieceStream } from "./piece-stream.ts";

/** Each event is for now. */
const LIVE_TYPE = /^text\/event-stream/i;
const TEXT_TYPES = /^text\/|json|xml|javascript/i;

/** What was done to a body, for logs and metrics. */
export interface CompressionInfo {
  readonly kind: "compress" | "decompress";
  readonly algorithm: CompressionAlgorithm;
  /** Before, and after. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** The time that it took, waiting for a thread included. Milliseconds. */
  readonly ms: number;
}

/**
 * Compresses or decompresses one response, by settings that may serve others after it: an attempt that failed is followed by
 * another with a run of its own. It is driven like a module.
 */
export class CompressionRun implements HttpModule {
  readonly #settings: CompressionSettings;
  readonly #exchange: Pick<HttpModuleExchange, "request" | "wantFlush">;
  #decision: CompressionDecision | undefined = undefined;
  #coder: PieceStream | undefined = undefined;
  /** Asks for a flush when bytes were held for long enough, whether or not more comes. */
  #heldTooLong: Deadline | undefined = undefined;
  /** Something was given to the encoder since it gave all that it had. */
  #holds = false;
  #ended = false;

  /** @param exchange Its request is the one that asked for the response: from an upstream, what was sent to it. */
  constructor(settings: CompressionSettings, exchange: Pick<HttpModuleExchange, "request" | "wantFlush">) {
    this.#settings = settings;
    this.#exchange = exchange;
    settings.lock(false);
  }

  /** What is done, or why nothing is; `undefined` before the final head. */
  get decision(): CompressionDecision | undefined {
    return this.#decision;
  }

  /** What was done so far; `undefined` if the body stays as it is. */
  get info(): CompressionInfo | undefined {
    const { decision } = this;
    const coder = this.#coder;
    if (coder === undefined || decision === undefined || decision.kind === "none") return undefined;
    const { kind, algorithm } = decision;
    return { kind, algorithm, bytesIn: coder.bytesIn, bytesOut: coder.bytesOut, ms: coder.spentMs };
  }

  get ignoresResponseBody(): boolean {
    return this.#coder === undefined;
  }

  responseHeader(response: ResponseHeader, end: boolean): void {
    // Interim heads come before, and say nothing about the body.
    if (response.status < 200 && response.status !== 101) return;
    const settings = this.#settings;
    // A head that was seen before was never sent.
    this.#coder?.destroy();
    this.#coder = undefined;
    settings.lock(true);
    const decision = decideCompression(this.#exchange.request, response, end, settings);
    this.#decision = decision;
    if (decision.kind === "compress") this.#compress(decision.algorithm, response);
    if (decision.kind === "decompress") {
      const { maxDecompressedBytes: maxBytes, maxDecompressionRatio: maxRatio } = settings;
      this.#coder = createDecoder(decision.algorithm, { maxBytes, maxRatio });
    }
    const coding = decision.kind === "none" ? decision.wouldBe : decision.algorithm;
    editHead(response, decision, coding !== undefined && settings.preservesEtag(coding));
  }

  responseBody(piece: Uint8Array | undefined, end: boolean): Awaitable<Uint8Array | void> {
    const coder = this.#coder;
    if (coder === undefined || this.#ended) return undefined;
    const given = piece === undefined || piece.length === 0 ? undefined : piece;
    if (!end) return given && this.#write(coder, given);
    this.#ended = true;
    this.#heldTooLong?.dispose();
    return given === undefined ? coder.end() : writeLast(coder, given);
  }

  responseTrailers(trailers: HeaderFields): void {
    const decision = this.#decision;
    if (this.#coder === undefined || decision === undefined || decision.kind === "none") return;
    editTrailers(trailers, this.#settings.preservesEtag(decision.algorithm));
  }

  responseFlush(): Awaitable<Uint8Array | void> {
    const decision = this.#decision;
    if (this.#coder === undefined || !this.#holds || this.#ended || decision?.kind !== "compress") return undefined;
    this.#heldTooLong?.clear();
    this.#holds = false;
    return this.#coder.flush(flushKind(decision.algorithm));
  }

  /** Gives back the memory of a response that did not come to its end. */
  close(): void {
    this.#ended = true;
    this.#heldTooLong?.dispose();
    this.#coder?.destroy();
  }

  #write(coder: PieceStream, piece: Uint8Array): Promise<Uint8Array> {
    // From the first byte on: if each piece put it off, a stream that never rests would be held until the encoder is full.
    if (!this.#holds) this.#heldTooLong?.set(this.#settings.flushAfterMs);
    this.#holds = true;
    return coder.write(piece);
  }

  #compress(algorithm: CompressionAlgorithm, response: ResponseHeader): void {
    const settings = this.#settings;
    const type = response.get("content-type") ?? "";
    const length = Number(response.get("content-length") ?? "");
    const live = LIVE_TYPE.test(type);
    this.#coder = createEncoder(algorithm, {
      level: settings.level(algorithm),
      live,
      text: TEXT_TYPES.test(type),
      bytes: Number.isSafeInteger(length) ? length : 0,
      dictionary: settings.dictionary,
    });
    if (!live && settings.flushAfterMs > 0) this.#heldTooLong = new Deadline(() => this.#exchange.wantFlush());
  }
}

async function writeLast(coder: PieceStream, piece: Uint8Array): Promise<Uint8Array> {
  const first = await coder.write(piece);
  return Buffer.concat([first, await coder.end()]);
}
