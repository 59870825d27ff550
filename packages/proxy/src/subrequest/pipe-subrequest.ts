import {
  checkOptionNames,
  shown,
  type HttpModuleContext,
  type ServerSession,
  type SubrequestEvent,
} from "@sluice/core";
import { ProxyError, toProxyError } from "@sluice/error";
import type { HeaderFields, ResponseHeader } from "@sluice/http";
import { dropPromise, isPromise } from "../hook.ts";
import { RESPONDED } from "../responded.ts";
import type { Session } from "../session.ts";
import { AwaitedClient } from "./awaited-client.ts";
import type { InputBody } from "./input-body.ts";
import { PipeSubrequestError, type PipedSubrequest, type PipeSubrequestState } from "./pipe-subrequest-error.ts";
import { misuse, PipedInput } from "./piped-input.ts";
import type { PreparedSubrequest } from "./prepared-subrequest.ts";
import { parentGone } from "./subrequest-family.ts";

export interface PipeSubrequestOptions {
  /**
   * Sees every event of the response before it goes to the client. Returns what goes instead: the event, edited or not, or
   * nothing to drop it. Synchronous; throwing fails the pipe. Who changes the length of the body takes `Content-Length` away.
   */
  filter?: (event: SubrequestEvent) => SubrequestEvent | undefined;
  /** The body of the subrequest. Default: the client's for one that expects a body, else none. */
  input?: InputBody;
}

/**
 * Answers the request with a subrequest: runs it, gives it a body, and passes its response to the client. On the request itself
 * only the modules see what passes; its `requestBodyFilter`, upstream and response hooks do not run, those of the subrequest
 * do. An error answer of the subrequest (its upstream is down, say) is an answer and passes as any other.
 *
 * To be called where a request may be answered, and to be awaited there.
 * @throws PipeSubrequestError (the promise rejects) when the client leaves, the subrequest's answer is cut, or the filter or a
 * module fails; ProxyError `InternalError` when the request cannot be answered any more, or its body was read before.
 */
export function pipeSubrequest(
  session: Session,
  prepared: PreparedSubrequest,
  options: PipeSubrequestOptions = {},
): Promise<PipedSubrequest> {
  const piped = pipe(session, prepared, options);
  // One that nobody awaits must not end the process.
  piped.catch(() => undefined);
  return piped;
}

async function pipe(
  session: Session,
  prepared: PreparedSubrequest,
  options: PipeSubrequestOptions,
): Promise<PipedSubrequest> {
  return new SubrequestPipe(session, prepared, options).run();
}

/** One subrequest between its handle and the client. */
class SubrequestPipe {
  readonly #session: Session;
  readonly #downstream: ServerSession;
  readonly #prepared: PreparedSubrequest;
  readonly #filter: PipeSubrequestOptions["filter"];
  readonly #input: PipedInput;
  readonly #failed = Promise.withResolvers<never>();
  #headerReceived = false;
  /** Asked for, and not come yet. */
  #next: Promise<SubrequestEvent | undefined> | undefined = undefined;
  /** The modules that have to do with the response body. */
  #bodyModules: HttpModuleContext | undefined = undefined;
  /** One of them keeps bytes back for which nobody else would come. */
  #flushWanted = false;
  #onFlushWanted: (() => void) | undefined = undefined;
  #tunnel = false;
  #trailers: HeaderFields | undefined = undefined;
  #over = false;

  constructor(session: Session, prepared: PreparedSubrequest, options: PipeSubrequestOptions) {
    checkOptionNames("pipeSubrequest", options, ["filter", "input"]);
    this.#session = session;
    this.#downstream = session.downstream;
    this.#prepared = prepared;
    this.#filter = options.filter;
    this.#input = new PipedInput(session, prepared, options.input);
  }

  async run(): Promise<PipedSubrequest> {
    const { handle } = this.#prepared;
    this.#checkUse();
    this.#failed.promise.catch(() => undefined);
    const client = new AwaitedClient(this.#downstream, (error) => this.#clientLost(error));
    try {
      await this.#input.endEmptyBody();
      // The client has limits of its own, and they hold for both.
      handle.disableLimits();
      // A module may refuse the client's body at its end.
      handle.holdEnd();
      const done = this.#prepared.run();
      const sent = this.#input.send(client).catch((error: unknown) => this.#failed.reject(error));
      await Promise.race([this.#bringResponse(client, sent, done), this.#failed.promise]);
      return { ...this.#state, responded: this.#downstream.responseDone ? RESPONDED : undefined, done };
    } catch (thrown) {
      const error = this.#ownError(thrown);
      handle.cancel(ProxyError.downstream("WriteError", "the pipe of the subrequest failed", error));
      throw error;
    } finally {
      this.#over = true;
      client.leave();
      if (this.#bodyModules !== undefined) this.#bodyModules.onFlushWanted = undefined;
    }
  }

  /** Those of the request itself. */
  get #modules(): HttpModuleContext | undefined {
    return this.#session.ownModules?.downstream;
  }

  get #state(): PipeSubrequestState {
    return { savedBody: this.#input.savedBody, headerReceived: this.#headerReceived };
  }

  #checkUse(): void {
    const session = this.#session;
    session.throwIfOver();
    session.checkPlace("pipeSubrequest");
    if (session.answered) throw misuse("the request was answered before");
    if (this.#downstream.events !== undefined) throw misuse("the request is being read by somebody else");
    if (this.#prepared.begun) throw misuse("the subrequest was run before");
    this.#input.prepare();
  }

  /** The way down, to its end; of a tunnel, until both directions have ended. */
  async #bringResponse(client: AwaitedClient, sent: Promise<void>, done: Promise<void>): Promise<void> {
    const { handle } = this.#prepared;
    for (let ended = false; !ended;) {
      const event = await this.#nextEvent();
      if (this.#over) return;
      if (event === undefined) break;
      if (event === "flush") {
        await this.#flushModules(client);
        continue;
      }
      ended = event.type === "end";
      if (event.type === "header") this.#headerReceived = true;
      const passed = this.#filtered(event);
      if (passed !== undefined) await this.#deliver(client, passed);
      if (this.#over) return;
      if (handle.waiting === 0) this.#downstream.flush();
    }
    if (!this.#tunnel) return;
    await Promise.race([sent, done.then(() => this.#throwIfTunnelFailed())]);
  }

  /** The next event, or that a module wants to be asked for what it keeps back. */
  async #nextEvent(): Promise<SubrequestEvent | "flush" | undefined> {
    this.#next ??= this.#prepared.handle.next();
    try {
      if (this.#bodyModules !== undefined && (await this.#isFlushFirst(this.#next))) return "flush";
      const event = await this.#next;
      this.#next = undefined;
      return event;
    } catch (thrown) {
      throw new PipeSubrequestError(toProxyError(thrown), this.#state, true);
    }
  }

  async #isFlushFirst(next: Promise<unknown>): Promise<boolean> {
    if (!this.#flushWanted) {
      const flushWanted = new Promise<void>((resolve) => (this.#onFlushWanted = resolve));
      await Promise.race([next, flushWanted]);
    }
    const wanted = this.#flushWanted;
    this.#flushWanted = false;
    return wanted;
  }

  #filtered(event: SubrequestEvent): SubrequestEvent | undefined {
    if (this.#filter === undefined) return event;
    let given: SubrequestEvent | undefined;
    try {
      given = this.#filter(event);
    } catch (thrown) {
      throw toProxyError(thrown, "thrown in the filter of pipeSubrequest");
    }
    if (given === undefined || (typeof given === "object" && given !== null && "type" in given)) return given;
    dropPromise(this.#session, this.#session.phase, given);
    const context = `the filter of pipeSubrequest must return an event or nothing; it returned ${shown(given)}`;
    throw ProxyError.internal("InternalError", context);
  }

  async #deliver(client: AwaitedClient, event: SubrequestEvent): Promise<void> {
    switch (event.type) {
      case "informational":
        if (await this.#headThroughModules(event.header, false)) {
          if (!this.#downstream.writeInformational(event.header)) await client.writable();
        }
        return;
      case "header":
        if (await this.#headThroughModules(event.header, event.bodyless)) this.#writeHead(event.header, event.bodyless);
        return;
      case "data":
        await this.#write(client, await (this.#bodyModules?.responseBody(event.data) ?? event.data));
        return;
      case "trailers":
        this.#trailers = event.trailers;
        return;
      case "end":
        await this.#finish(client);
    }
  }

  /** Gives whether the client is still there. */
  async #headThroughModules(header: ResponseHeader, bodyless: boolean): Promise<boolean> {
    const waiting = this.#modules?.responseHeader(header, bodyless);
    if (isPromise(waiting)) await waiting;
    return !this.#over;
  }

  #writeHead(header: ResponseHeader, bodyless: boolean): void {
    const modules = this.#modules;
    if (modules?.hasResponseBody === true) {
      this.#bodyModules = modules;
      modules.onFlushWanted = () => {
        this.#flushWanted = true;
        this.#onFlushWanted?.();
      };
    }
    // What the subrequest's hooks, the filter or a module refuses when all bytes have come must show.
    this.#downstream.holdsEnd = true;
    // The client asked one thing, and is told the id of that.
    if (header.status !== 101) this.#session.markResponse(header);
    this.#downstream.writeHeader(header, bodyless && this.#bodyModules === undefined);
    if (header.status !== 101) return;
    this.#tunnel = true;
    this.#input.beginTunnel();
  }

  async #write(client: AwaitedClient, piece: Uint8Array): Promise<void> {
    if (!this.#over && !this.#downstream.writeBody(piece)) await client.writable();
  }

  async #flushModules(client: AwaitedClient): Promise<void> {
    const kept = await this.#bodyModules?.flushResponse();
    if (kept !== undefined) await this.#write(client, kept);
    if (!this.#over) this.#downstream.flush();
  }

  async #finish(client: AwaitedClient): Promise<void> {
    let trailers = this.#trailers;
    if (this.#bodyModules !== undefined) {
      const end = await this.#bodyModules.responseEnd(trailers);
      trailers = end.trailers;
      if (end.body !== undefined) await this.#write(client, end.body);
    }
    // Whose head was dropped is answered by whoever dropped it.
    if (!this.#over && this.#session.response !== undefined) this.#downstream.finish(trailers);
  }

  /** The other direction of a tunnel may have been cut. */
  async #throwIfTunnelFailed(): Promise<void> {
    const error = await this.#prepared.handle.proxyError;
    if (error !== undefined) throw new PipeSubrequestError(error, this.#state, true);
  }

  #clientLost(error: ProxyError): void {
    // At once: the promises below take a turn.
    this.#over = true;
    this.#prepared.handle.cancel(parentGone("the client of the parent request is gone", error));
    this.#failed.reject(error);
  }

  #ownError(thrown: unknown): PipeSubrequestError {
    if (thrown instanceof PipeSubrequestError) return thrown;
    return new PipeSubrequestError(toProxyError(thrown, "in pipeSubrequest"), this.#state, false);
  }
}
