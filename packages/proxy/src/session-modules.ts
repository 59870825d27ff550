import {
  HttpModules,
  responseCompression,
  type HttpModuleContext,
  type HttpModuleType,
  type HttpModule,
  type ServerSession,
} from "@sluice/core";
import { ProxyError } from "@sluice/error";
import type { RequestHeader, ResponseHeader } from "@sluice/http";
import { isClientGone } from "./error-answers.ts";
import { refusePromise } from "./hook.ts";
import type { ProxyHttp } from "./proxy-http.ts";
import type { Session } from "./session.ts";
import { UpstreamCompression, UpstreamCompressionModule } from "./upstream-compression.ts";

/** Where a hook finds the modules of its request. */
export interface ModuleLookup {
  /**
   * The module of exactly this class; one that waits for demand is made. `undefined` if the class is not registered, which
   * an app decides.
   */
  get<M extends HttpModule>(type: HttpModuleType<M>): M | undefined;
}

/** @internal The modules that the requests of one proxy get. */
export interface ModuleLists {
  readonly downstream: HttpModules;
  readonly upstream: HttpModules;
}

/** @internal */
export const NO_MODULES: ModuleLists = {
  downstream: new HttpModules().freeze(),
  upstream: new HttpModules().add(UpstreamCompressionModule.builder).freeze(),
};

/** @internal As the app registers them. What it does not: response compression, which is off. */
export function moduleLists<Ctx>(
  app: Pick<ProxyHttp<Ctx>, "initDownstreamModules" | "initUpstreamModules">,
): ModuleLists {
  const downstream = new HttpModules();
  if (app.initDownstreamModules === undefined) downstream.add(responseCompression());
  else refusePromise(undefined, "initDownstreamModules", app.initDownstreamModules(downstream));
  const upstream = new HttpModules();
  if (app.initUpstreamModules !== undefined) {
    refusePromise(undefined, "initUpstreamModules", app.initUpstreamModules(upstream));
  }
  upstream.add(UpstreamCompressionModule.builder);
  return { downstream: downstream.freeze(), upstream: upstream.freeze() };
}

/** @internal The modules of one request. Made when it gets one, or somebody asks for one. */
export class SessionModules {
  /** The client's side; `undefined` as long as there are none. */
  downstream: HttpModuleContext | undefined = undefined;
  /** The upstream's side, of the attempt that is under way. */
  upstream: HttpModuleContext | undefined = undefined;
  /** An answer of a hook's own that is on its way through them. */
  answering: Promise<void> | undefined = undefined;
  readonly #lists: ModuleLists;
  #compression: UpstreamCompression | undefined = undefined;

  constructor(lists: ModuleLists) {
    this.#lists = lists;
  }

  openDownstream(downstream: ServerSession): HttpModuleContext {
    this.downstream ??= this.#lists.downstream.open(downstream.request, downstream.response !== undefined);
    return this.downstream;
  }

  /**
   * @param outgoing The head of the attempt; `undefined` before there is one.
   * @param late The final head of the response has come already.
   */
  openUpstream(outgoing: RequestHeader | undefined, late: boolean, phase: string): HttpModuleContext {
    if (outgoing === undefined) {
      const hint = "the upstream's modules are made for each attempt: ask from upstreamRequestFilter on";
      throw ProxyError.internal("InternalError", `session.upstreamModules in ${phase}: ${hint}`);
    }
    this.upstream ??= this.#lists.upstream.open(outgoing, late);
    return this.upstream;
  }

  openCompression(outgoing: RequestHeader | undefined, late: boolean): UpstreamCompression {
    const compression = (this.#compression ??= new UpstreamCompression());
    if (outgoing !== undefined) {
      this.openUpstream(outgoing, late, "").get(UpstreamCompressionModule)?.begin(compression);
    }
    return compression;
  }

  /** What an attempt begins with; what the one before it had is given back. */
  beginAttempt(outgoing: RequestHeader): void {
    this.upstream?.close();
    this.upstream = this.#lists.upstream.start(outgoing);
    if (this.#compression !== undefined) this.openCompression(outgoing, false);
  }

  /** Sends an answer through the modules of the client's side. */
  answer(downstream: ServerSession, header: ResponseHeader, body: Uint8Array | undefined): void {
    if (this.answering !== undefined) {
      throw ProxyError.internal("InternalError", `a second answer (status ${header.status}) to one request`);
    }
    this.answering = sendThrough(this.openDownstream(downstream), downstream, header, body);
    // Whoever waits for it hears of it.
    this.answering.catch(() => undefined);
  }

  /** The request is over. */
  close(): void {
    this.upstream?.close();
    this.downstream?.close();
  }
}

/** @internal For a request that is about to have modules. */
export function openModules(session: Session): SessionModules {
  session.ownModules ??= new SessionModules(session.moduleLists);
  return session.ownModules;
}

/** @internal The time has come for those that every request gets. Gives the client's side; `undefined` if there are none. */
export function startModules(session: Session): HttpModuleContext | undefined {
  if (session.activeModules === undefined) {
    const started = session.moduleLists.downstream.start(session.downstream.request);
    if (started !== undefined) openModules(session).downstream = started;
  }
  return session.activeModules;
}

/** @internal `outgoing` is about to go up, through the modules of its own attempt. */
export function startUpstreamModules(session: Session, outgoing: RequestHeader): void {
  session.outgoing = outgoing;
  session.upstreamHeadPassed = false;
  if (session.ownModules !== undefined) {
    session.ownModules.beginAttempt(outgoing);
    return;
  }
  const started = session.moduleLists.upstream.start(outgoing);
  if (started !== undefined) openModules(session).upstream = started;
}

async function sendThrough(
  modules: HttpModuleContext,
  downstream: ServerSession,
  header: ResponseHeader,
  body: Uint8Array | undefined,
): Promise<void> {
  const empty = body === undefined || body.length === 0 || downstream.request.method === "HEAD";
  await modules.responseHeader(header, empty);
  // An answer that nobody gets is not to be counted as one.
  if (isClientGone(downstream.error)) return;
  downstream.writeHeader(header, empty && !modules.hasResponseBody);
  if (!empty) downstream.writeBody(await modules.responseBody(body));
  const last = await modules.responseEnd(undefined);
  if (last.body !== undefined) downstream.writeBody(last.body);
  downstream.finish();
}
