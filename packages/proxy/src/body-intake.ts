import type { HttpModuleContext } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { HeaderFields } from "@sluice/http";
import type { Exchange } from "./exchange.ts";
import { hookError } from "./hook-errors.ts";
import { isPromise } from "./hook.ts";
import type { Phase } from "./phase.ts";
import { Pipe } from "./pipe.ts";
import type { RequestBodyReader } from "./request-body.ts";
import type { RetryBuffer } from "./retry-buffer.ts";
import type { Session } from "./session.ts";

/**
 * The request body on its way from the client through the modules: once for all attempts, since a module may well count or
 * decode. What comes out goes to the attempt that is under way, and is what another one sends again.
 */
export class BodyIntake extends Pipe {
  /** Who takes what comes out; `undefined` between attempts. */
  exchange: Pick<Exchange<unknown>, "takeRequest" | "readOn" | "fail"> | undefined = undefined;
  protected readonly session: Session;
  readonly #modules: HttpModuleContext;
  readonly #buffer: RetryBuffer;
  /** A module failed: nothing more comes. */
  failure: ProxyError | undefined = undefined;
  /** What hooks have read of the body, as long as it has not all passed. */
  #read: RequestBodyReader | undefined;
  /** How many of its pieces have. */
  #readTaken = 0;

  /** @param read What hooks have read of the body before. */
  constructor(session: Session, modules: HttpModuleContext, buffer: RetryBuffer, read: RequestBodyReader | undefined) {
    super();
    this.session = session;
    this.#modules = modules;
    this.#buffer = buffer;
    this.#read = read;
    if (read !== undefined) buffer.keepUpTo(read.bytes);
  }

  /** There is more of what hooks have read. */
  get hasRead(): boolean {
    return this.#read !== undefined;
  }

  /** Takes the next of what hooks have read; `false` if that was all. */
  takeRead(): boolean {
    const read = this.#read;
    if (read === undefined) return false;
    if (this.#readTaken < read.kept.pieces.length) {
      this.take(read.kept.pieces[this.#readTaken++]!);
      return true;
    }
    this.#read = undefined;
    if (read.ended) this.end(read.trailers);
    return read.ended;
  }

  take(piece: Uint8Array): void {
    this.inTurn(() => this.#pass(piece));
  }

  end(trailers: HeaderFields | undefined): void {
    this.inTurn(() => this.#end(trailers));
  }

  protected get over(): boolean {
    return this.failure !== undefined;
  }

  protected failed(thrown: unknown): void {
    this.failure = hookError(this.session, "requestModules", thrown);
    // What a module has swallowed nobody can send again.
    this.#buffer.truncate();
    this.exchange?.fail(this.failure);
  }

  /** Between attempts the request is elsewhere. */
  protected override enterPhase(phase: Phase): void {
    if (this.exchange !== undefined) super.enterPhase(phase);
  }

  protected stop(): void {
    this.session.downstream.pauseBody();
  }

  protected goOn(): void {
    this.exchange?.readOn();
  }

  #pass(piece: Uint8Array): void {
    const { session } = this;
    session.phase = "requestModules";
    const given = this.#modules.requestBody(piece);
    if (isPromise(given)) {
      this.waitFor("requestModules", given, (result) => this.#give(result));
      return;
    }
    session.phase = "exchange";
    this.#give(given);
  }

  #end(trailers: HeaderFields | undefined): void {
    const { session } = this;
    session.phase = "requestModules";
    const given = this.#modules.requestEnd(trailers);
    if (isPromise(given)) {
      this.waitFor("requestModules", given, (result) => this.#giveEnd(result, trailers));
      return;
    }
    session.phase = "exchange";
    this.#giveEnd(given, trailers);
  }

  #give(piece: Uint8Array): void {
    if (piece.length === 0) return;
    if (this.#buffer.add(piece)) this.session.downstream.keepChunk();
    this.exchange?.takeRequest(piece, false, undefined);
  }

  #giveEnd(last: Uint8Array | undefined, trailers: HeaderFields | undefined): void {
    if (last !== undefined) this.#give(last);
    this.#buffer.end(trailers);
    this.exchange?.takeRequest(undefined, true, trailers);
  }
}
