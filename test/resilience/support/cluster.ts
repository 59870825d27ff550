import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fixedPort } from "./fixed-port.ts";
import type { OriginConfig, ProxyConfig, ProxyEvent, RequestEvent } from "./messages.ts";
import { Program, type Ending } from "./program.ts";

/** A time in which an origin was being ended, in `performance.now()` milliseconds. */
export interface Stop {
  readonly peer: string;
  /** Before the signal. */
  readonly from: number;
  /** Its end was seen. */
  readonly to: number;
}

/** A proxy with its origins, each a process of its own; ended when it goes out of scope. */
export class Cluster implements AsyncDisposable {
  readonly proxy: Program;
  /** All that the proxy told, in order. */
  readonly events: ProxyEvent[] = [];
  readonly stops: Stop[] = [];
  readonly #configs: readonly OriginConfig[];
  readonly #jobs: string;
  readonly #origins: Program[];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    proxy: Program,
    configs: readonly OriginConfig[],
    jobs: string,
    origins: Program[],
    stack: AsyncDisposableStack,
  ) {
    this.proxy = proxy;
    this.#configs = configs;
    this.#jobs = jobs;
    this.#origins = origins;
    this.#stack = stack;
    proxy.onEvent = (event) => this.events.push(event as ProxyEvent);
  }

  static async start(
    count: number,
    config: Omit<ProxyConfig, "upstreams">,
    originConfig: Partial<OriginConfig> = {},
  ): Promise<Cluster> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.adopt(mkdtempSync(path.join(tmpdir(), "sluice-resilience-")), (own) =>
      rmSync(own, { recursive: true }),
    );
    const jobs = path.join(folder, "jobs");
    const ports = await Promise.all(Array.from({ length: count }, fixedPort));
    const configs = ports.map((port) => ({ ...originConfig, port, tag: `127.0.0.1:${port}`, jobs }));
    const origins: Program[] = [];
    for (const own of configs) origins.push(stack.use(await Program.start("origin.ts", own)));
    const upstreams = configs.map(({ tag }) => tag);
    const proxy = stack.use(await Program.start("proxy.ts", { ...config, upstreams, report: true }));
    return new Cluster(proxy, configs, jobs, origins, stack.move());
  }

  /** `host:port` of an origin, by which the proxy and the origin name it. */
  peer(index: number): string {
    return this.#configs[index]!.tag;
  }

  /** Ends an origin and waits for its end. */
  async stopOrigin(index: number, signal: "SIGKILL" | "SIGTERM"): Promise<Ending> {
    const from = performance.now();
    this.#origins[index]!.signal(signal);
    const ending = await this.#origins[index]!.exited;
    this.stops.push({ peer: this.peer(index), from, to: performance.now() });
    return ending;
  }

  /** Starts it again on the same port. */
  async startOrigin(index: number): Promise<void> {
    this.#origins[index] = this.#stack.use(await Program.start("origin.ts", this.#configs[index]!));
  }

  /** The ids of all jobs that were done, each as often as it was. */
  get jobs(): string[] {
    return readFileSync(this.#jobs, "latin1").trimEnd().split("\n");
  }

  /** The requests that are over, by their id. */
  get requests(): ReadonlyMap<string, RequestEvent> {
    return new Map(this.events.filter((event) => event.kind === "request").map((event) => [event.id, event]));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
