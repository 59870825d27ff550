import { HttpConnector, HttpPeer, type Http1ServerOptions, type ServerSession } from "@sluice/core";
import { streamPair, turn, type StreamPair, type StreamPairOptions } from "@sluice/core/testing";
import { HttpProxy, type ProxyHttp } from "@sluice/proxy";
import { resolveHeadLimits } from "../../../core/src/http1/head-limits.ts";
import { Http1ClientConnection } from "../../../core/src/http1/http1-client-connection.ts";
import { Http1ServerConnection } from "../../../core/src/http1/http1-server-connection.ts";
import { resolveHttp1ServerOptions } from "../../../core/src/http1/server-options.ts";
import { readRequests, type Ending, type Requests, type StrictMessage } from "./strict-messages.ts";

/** How an end is cut: it ends its direction, or resets the connection. */
export type How = "fin" | "reset";

/** One end of a connection, played by the test: keeps what came and how it ended, and may be cut at a byte of what it sends. */
export class End {
  readonly pair: StreamPair;
  text = "";
  sentBytes = 0;
  ended = false;
  error: Error | undefined = undefined;
  closed = false;
  /** Its cut is due and was not made yet. */
  cutDue: How | undefined = undefined;
  readonly #onSomething: () => void;
  readonly #cut: Cut | undefined;
  #budget: number;
  /** The listeners on the local end when the code under test had just taken it. */
  #listenersAtFirst: string | undefined = undefined;
  #cutWhenReceived: { bytes: number; how: How } | undefined = undefined;

  constructor(options: StreamPairOptions, cut: Cut | undefined, onSomething: () => void) {
    const breaks = cut?.how === "reset" && !cut.late && { toLocal: { ...options.toLocal, failAfterBytes: cut.after } };
    this.pair = streamPair({ ...options, ...breaks });
    this.#cut = cut;
    this.#budget = cut?.after ?? Number.POSITIVE_INFINITY;
    this.#onSomething = onSomething;
    this.pair.remote.on("data", (chunk: Buffer) => {
      this.text += chunk.toString("latin1");
      onSomething();
      const cutAt = this.#cutWhenReceived;
      if (cutAt !== undefined && this.text.length >= cutAt.bytes) {
        this.#cutWhenReceived = undefined;
        this.cut(cutAt.how);
      }
      this.onText();
    });
    this.pair.remote.on("end", () => {
      this.ended = true;
      onSomething();
      this.onEnd();
    });
    this.pair.remote.on("error", (error) => (this.error = error));
    this.pair.remote.on("close", () => {
      this.closed = true;
      onSomething();
    });
  }

  get ending(): Ending {
    if (this.ended) return "fin";
    return this.closed ? "reset" : "open";
  }

  /** Counts of the listeners that the code under test has on its end, to see whether they grow. */
  listeners(): string {
    const { local } = this.pair;
    const events = ["data", "error", "close", "readable", "finish"];
    return events.map((event) => `${event} ${local.listenerCount(event)}`).join(", ");
  }

  /** As many of the bytes as the cut lets pass. */
  send(text: string): void {
    if (this.pair.remote.destroyed || this.pair.remote.writableEnded) return;
    const part = text.slice(0, this.#budget);
    this.#budget -= part.length;
    this.sentBytes += part.length;
    if (part !== "") this.pair.remote.write(part, "latin1");
    if (this.#budget > 0) return;
    const { how, late } = this.#cut!;
    if (late) this.cutDue = how;
    else if (how === "fin") this.pair.remote.end();
  }

  /** Ends its direction, unless it was cut before. */
  finish(): void {
    if (this.#budget > 0) this.pair.remote.end();
  }

  cut(how: How): void {
    this.cutDue = undefined;
    if (how === "fin") this.pair.remote.end();
    else this.pair.remote.resetAndDestroy();
    this.#onSomething();
  }

  /** The code under test has taken the local end. */
  taken(): void {
    this.#listenersAtFirst = this.listeners();
  }

  get listenersGrew(): boolean {
    // The one for `drain` comes when the peer falls behind for the first time.
    if (this.pair.local.listenerCount("drain") > 1) return true;
    return this.#listenersAtFirst !== undefined && this.listeners() !== this.#listenersAtFirst;
  }

  /** Cuts as soon as so many bytes came. */
  cutWhenReceived(bytes: number, how: How): void {
    this.#cutWhenReceived = { bytes, how };
  }

  protected onText(): void {}
  protected onEnd(): void {}
}

/** Where what an end sends is cut. */
export interface Cut {
  /** Bytes that pass. */
  after: number;
  how: How;
  /** Not together with the last byte, but once everything that it causes has happened. */
  late: boolean;
}

/** What an origin answers to a target. */
export interface Answer {
  bytes: string;
  /** Ends the connection behind it. */
  fin?: boolean;
  /** Does not wait for the body. */
  early?: boolean;
  /** Is sent before the rest of the body is waited for. */
  interim?: string;
  /** Bytes behind the answer that do not belong to it. */
  surplus?: string;
  /** After a change of protocol: what is answered to `ping!`, before the end. */
  pong?: string;
}

/** An origin's end of an upstream connection. */
export class OriginEnd extends End {
  /** Bytes of complete answers, without surplus, that were to be sent so far. */
  answeredBytes = 0;
  /** Answers given. */
  answers = 0;
  /** The bytes that the proxy took off the connection. */
  takenBytes = 0;
  readonly #answers: ReadonlyMap<string, Answer>;
  #interimSent = false;
  #tunnel: { from: number; pong: string } | undefined = undefined;
  #ponged = false;

  constructor(
    options: StreamPairOptions,
    cut: Cut | undefined,
    answers: ReadonlyMap<string, Answer>,
    onSomething: () => void,
  ) {
    super(options, cut, onSomething);
    this.#answers = answers;
    this.pair.local.prependListener("data", (chunk: Buffer) => (this.takenBytes += chunk.length));
    // Until the code under test listens too.
    this.pair.local.pause();
    // Nothing comes at all: the end is there before a request is.
    if (cut?.after === 0 && !cut.late && cut.how === "fin") this.pair.remote.end();
  }

  get requests(): Requests {
    return readRequests(this.#tunnel === undefined ? this.text : this.text.slice(0, this.#tunnel.from));
  }

  /** Whether it granted a change of protocol. */
  get changedProtocol(): boolean {
    return this.#tunnel !== undefined;
  }

  /** What came after it. */
  get tunnelText(): string {
    return this.#tunnel === undefined ? "" : this.text.slice(this.#tunnel.from);
  }

  protected override onText(): void {
    if (this.#tunnel !== undefined) {
      this.#answerTunnel(this.#tunnel.pong);
      return;
    }
    const { complete, unfinished } = this.requests;
    for (const request of complete.slice(this.answers)) this.#answer(request);
    if (this.answers > complete.length || !unfinished.includes("\r\n\r\n")) return;
    const target = unfinished.split(" ")[1]!;
    const answer = this.#answers.get(target)!;
    if (answer.early) this.#send(answer);
    if (answer.interim !== undefined && !this.#interimSent) {
      this.#interimSent = true;
      this.answeredBytes += answer.interim.length;
      this.send(answer.interim);
    }
  }

  protected override onEnd(): void {
    this.pair.remote.end();
  }

  #answer({ startLine }: StrictMessage): void {
    this.#interimSent = false;
    this.#send(this.#answers.get(startLine.split(" ")[1]!)!);
  }

  #send(answer: Answer): void {
    this.answers++;
    this.answeredBytes += answer.bytes.length;
    this.send(answer.bytes + (answer.surplus ?? ""));
    if (answer.pong !== undefined) this.#tunnel = { from: this.text.length, pong: answer.pong };
    if (answer.fin) this.finish();
  }

  #answerTunnel(pong: string): void {
    if (this.#ponged || this.tunnelText !== "ping!") return;
    this.#ponged = true;
    this.send(pong);
    this.finish();
  }
}

/** Connects in memory, with the pool of the real one; looks at every connection that goes into it or comes out. */
class MemoryConnector extends HttpConnector {
  readonly origins: OriginEnd[] = [];
  readonly #open: () => OriginEnd;
  readonly #violations: string[];
  readonly #originOf = new WeakMap<Http1ClientConnection, OriginEnd>();

  constructor(open: () => OriginEnd, violations: string[]) {
    super();
    this.#open = open;
    this.#violations = violations;
  }

  override reuse(peer: HttpPeer): ReturnType<HttpConnector["reuse"]> {
    const session = super.reuse(peer);
    if (session !== undefined) this.#check(session as Http1ClientConnection, "reused");
    return session;
  }

  override async connect(peer: HttpPeer, signal?: AbortSignal): ReturnType<HttpConnector["connect"]> {
    await turn();
    signal?.throwIfAborted();
    const origin = this.#open();
    this.origins.push(origin);
    const { local } = origin.pair;
    const limits = resolveHeadLimits();
    const connection = new Http1ClientConnection(local, peer.address.text, peer.reuseKey, this, limits);
    local.resume();
    origin.taken();
    this.#originOf.set(connection, origin);
    connection.prepare(false, peer);
    return connection;
  }

  override store(connection: Http1ClientConnection, idleMs: number | undefined): boolean {
    const stored = super.store(connection, idleMs);
    if (stored) this.#check(connection, "kept");
    return stored;
  }

  #check(connection: Http1ClientConnection, what: string): void {
    const origin = this.#originOf.get(connection)!;
    const { local } = origin.pair;
    if (origin.takenBytes !== origin.answeredBytes)
      this.#violations.push(`a connection is ${what} after ${origin.takenBytes} of ${origin.answeredBytes} bytes`);
    if (local.readableLength > 0)
      this.#violations.push(`a connection is ${what} with ${local.readableLength} bytes unread`);
    if (local.destroyed) this.#violations.push(`a connection is ${what} that is closed`);
    // The last of it may still be on its way.
    const written = readRequests(Buffer.concat(local.writes).toString("latin1"));
    if (written.unfinished !== "") this.#violations.push(`a connection is ${what} in the middle of a request`);
    if (origin.listenersGrew) this.#violations.push(`a connection is ${what} with listeners: ${origin.listeners()}`);
  }
}

const PEER = new HttpPeer("10.0.0.1:80");

export interface Ctx {
  logged: number;
}

export interface MemoryProxyOptions {
  answers: ReadonlyMap<string, Answer>;
  /** Of the first upstream connection. */
  upstreamCut?: Cut | undefined;
  /** Of all upstream connections. */
  upstream?: StreamPairOptions;
  /** Every hook is there and takes a turn of the event loop. */
  slowHooks: boolean;
  /** Hooks in place of those that do nothing; `newCtx` and `logging` are called besides. */
  app?: Partial<ProxyHttp<Ctx>>;
  server?: Partial<Http1ServerOptions>;
  /** Default: one of whom nothing is known but the address. */
  peer?: HttpPeer;
}

/** A proxy whose clients and origins are in memory. Nothing moves unless a promise is awaited. */
export class MemoryProxy {
  /** What must never be, as far as it shows at once. */
  readonly violations: string[] = [];
  readonly connector: MemoryConnector;
  readonly contexts: Ctx[] = [];
  /** Requests that are being handled. */
  pending = 0;
  readonly #connections = new Set<Http1ServerConnection>();
  readonly #proxy: HttpProxy<Ctx>;
  readonly #serverOptions: Http1ServerOptions;
  readonly #peer: HttpPeer;
  #events = 0;

  constructor(options: MemoryProxyOptions) {
    const { answers, upstreamCut, upstream = {} } = options;
    this.connector = new MemoryConnector(() => {
      const cut = this.connector.origins.length === 0 ? upstreamCut : undefined;
      return new OriginEnd(upstream, cut, answers, this.#onSomething);
    }, this.violations);
    this.#serverOptions = resolveHttp1ServerOptions(options.server);
    this.#peer = options.peer ?? PEER;
    const app = this.#app(options.slowHooks);
    const { app: given = {} } = options;
    const logging: ProxyHttp<Ctx>["logging"] = async (session, error, ctx) => {
      await given.logging?.(session, error, ctx);
      await app.logging!(session, error, ctx);
    };
    const whole: ProxyHttp<Ctx> = Object.assign({}, app, given, { newCtx: () => app.newCtx(), logging });
    this.#proxy = new HttpProxy(whole, this.connector, 16, "test");
  }

  get origins(): readonly OriginEnd[] {
    return this.connector.origins;
  }

  /** Client connections that are open. */
  get connections(): number {
    return this.#connections.size;
  }

  get openUpstreams(): number {
    return this.origins.filter(({ pair }) => !pair.local.destroyed).length;
  }

  connect(options: StreamPairOptions = {}, cut?: Cut): End {
    const client = new End(options, cut, this.#onSomething);
    const connection = new Http1ServerConnection(client.pair.local, this, this.#serverOptions, (closed) => {
      if (!this.#connections.delete(closed)) this.violations.push("a connection closed twice");
    });
    this.#connections.add(connection);
    client.taken();
    return client;
  }

  /** What the server connections call. */
  async handleRequest(session: ServerSession): Promise<void> {
    this.pending++;
    try {
      await this.#proxy.handleRequest(session);
    } catch (error) {
      this.violations.push(`handleRequest rejected: ${String(error)}`);
    }
    this.pending--;
    this.#events++;
  }

  /** Lets everything happen that follows from what was done; no time passes. */
  async settle(): Promise<void> {
    // What one turn brings may be written behind it, and connecting takes one.
    for (let quiet = 0; quiet < 3;) {
      const before = this.#events;
      await turn();
      quiet = before === this.#events ? quiet + 1 : 0;
    }
  }

  readonly #onSomething = (): void => {
    this.#events++;
  };

  #app(slowHooks: boolean): ProxyHttp<Ctx> {
    const app: ProxyHttp<Ctx> = {
      newCtx: () => {
        const ctx = { logged: 0 };
        this.contexts.push(ctx);
        return ctx;
      },
      upstreamPeer: () => this.#peer,
      logging: (_session, _error, ctx) => {
        ctx.logged++;
      },
    };
    if (!slowHooks) return app;
    const slow = async (): Promise<void> => {
      this.#events++;
      await turn();
      this.#events++;
    };
    return {
      ...app,
      earlyRequestFilter: slow,
      requestFilter: slow,
      connectedToUpstream: slow,
      upstreamRequestFilter: slow,
      requestBodyFilter: slow,
      upstreamResponseFilter: slow,
      responseFilter: slow,
      upstreamPeer: async () => {
        await slow();
        return this.#peer;
      },
      logging: async (_session, _error, ctx) => {
        await slow();
        ctx.logged++;
      },
    };
  }
}
