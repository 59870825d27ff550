import { configureLogs, Server, type ServerConf } from "@sluice/core";
import {
  HttpPeer,
  httpProxy,
  type HttpProxyOptions,
  type HttpProxyService,
  type NotPromise,
  type ProxyError,
  type ProxyHttp,
  type Session,
} from "@sluice/proxy";
import { peerOptions, PLAIN, type Leg } from "../../../../test/matrix/legs.ts";
import { connectWire } from "./leg-wires.ts";
import type { Wire } from "./wire.ts";

/** A line of the log. */
export interface LogLine {
  readonly name: string;
  /** pino's number: 40 warn, 50 error. */
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** What `logging` was told. */
export interface Finished<Ctx> {
  readonly session: Session;
  readonly error: ProxyError | undefined;
  readonly ctx: Ctx;
}

export type TestApp<Ctx> = Partial<ProxyHttp<Ctx>> & {
  /** Where to, if `upstreamPeer` is not given. */
  origin?: { readonly address: string } | HttpPeer;
};

const DISPOSE_WITHIN_MS = 5000;

/** A running proxy. When it is disposed of, every request must have been told to `logging` once. */
export class TestProxy<Ctx> implements AsyncDisposable {
  readonly service: HttpProxyService<Ctx>;
  /** Lines of the log from `info` up, since this proxy started. */
  readonly logs: LogLine[] = [];
  /** The calls of `logging`, in order. */
  readonly finished: Finished<Ctx>[] = [];
  /** Requests for which `newCtx` made a context. */
  begun = 0;
  readonly #server: Server;
  readonly #leg: Leg;
  readonly #wires: Wire[] = [];
  #onFinished: (() => void)[] = [];

  private constructor(
    app: TestApp<Ctx>,
    options: HttpProxyOptions,
    conf: Partial<ServerConf>,
    listen: (service: HttpProxyService<Ctx>) => unknown,
    leg: Leg,
  ) {
    this.#leg = leg;
    configureLogs({ levels: "info", destination: { write: (line) => this.logs.push(JSON.parse(line) as LogLine) } });
    this.#server = new Server(conf);
    this.service = httpProxy(this.#server, this.#watched(app), options);
    listen(this.service);
    this.#server.addService(this.service);
  }

  static async start<Ctx = object>(
    app: TestApp<Ctx>,
    options: HttpProxyOptions = {},
    conf: Partial<ServerConf> = {},
    listen: (service: HttpProxyService<Ctx>) => unknown = (service) => service.listenTcp("127.0.0.1:0"),
    leg: Leg = PLAIN,
  ): Promise<TestProxy<Ctx>> {
    const proxy = new TestProxy(app, options, conf, listen, leg);
    await proxy.#server.start();
    return proxy;
  }

  get address(): string {
    return this.service.addresses[0]!;
  }

  get port(): number {
    return Number(this.address.split(":")[1]);
  }

  get pool(): HttpProxyService<Ctx>["proxy"]["connector"]["pool"] {
    return this.service.proxy.connector.pool;
  }

  /** Lines of the log that tell of errors, and of requests that failed, whoever's fault that was. */
  get errors(): LogLine[] {
    return this.logs.filter(({ level, msg }) => level >= 50 || msg === "request failed");
  }

  /** A connection of a client; closed with the proxy. */
  async connect(): Promise<Wire> {
    const wire = await connectWire(this.#leg, this.port);
    wire.spellsNames = this.#leg.upstream === 2;
    this.#wires.push(wire);
    return wire;
  }

  /** Sends the bytes on a new connection. */
  async send(...parts: (string | Uint8Array)[]): Promise<Wire> {
    return (await this.connect()).send(...parts);
  }

  /** What `logging` was told of the `count`-th request to end, from 1. */
  async whenFinished(count = 1): Promise<Finished<Ctx>> {
    while (this.finished.length < count) await new Promise<void>((resolve) => this.#onFinished.push(resolve));
    return this.finished[count - 1]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const wire of this.#wires) await wire[Symbol.asyncDispose]();
    await this.#server.stop(0);
    await this.#checkLogging();
  }

  async #checkLogging(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const message = (): string => `logging was called for ${this.finished.length} of ${this.begun} requests`;
      timer = setTimeout(() => reject(new Error(message())), DISPOSE_WITHIN_MS);
    });
    await Promise.race([this.whenFinished(this.begun === 0 ? 0 : this.begun), late]);
    clearTimeout(timer);
    const sessions = new Set(this.finished.map(({ session }) => session));
    if (sessions.size !== this.finished.length) throw new Error("logging was called twice for one request");
  }

  #watched(app: TestApp<Ctx>): ProxyHttp<Ctx> {
    const { origin } = app;
    const peer =
      origin instanceof HttpPeer || origin === undefined
        ? origin
        : new HttpPeer(origin.address, peerOptions(this.#leg));
    const inner: ProxyHttp<Ctx> = {
      upstreamPeer() {
        if (peer === undefined) throw new Error("this test has no origin");
        return peer;
      },
      ...app,
      newCtx: () => {
        const ctx = app.newCtx === undefined ? ({} as Ctx) : app.newCtx();
        this.begun++;
        return ctx as NotPromise<Ctx>;
      },
      logging: async (session, error, ctx) => {
        try {
          await app.logging?.(session, error, ctx);
        } finally {
          this.finished.push({ session, error, ctx });
          for (const tell of this.#onFinished.splice(0)) tell();
        }
      },
    };
    return inner;
  }
}

/** A proxy with this app, listening. */
export function startProxy<Ctx = object>(
  app: TestApp<Ctx>,
  options?: HttpProxyOptions,
  conf?: Partial<ServerConf>,
): Promise<TestProxy<Ctx>> {
  return TestProxy.start(app, options, conf);
}

/** A promise, and the function that resolves it. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

/** `GET path`, with more fields if given, each line ended by CR LF. */
export function get(path = "/", fields = ""): string {
  return `GET ${path} HTTP/1.1\r\nHost: test\r\n${fields}\r\n`;
}
