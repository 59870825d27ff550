import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ServerConf } from "../../../packages/core/src/index.ts";
import { Program } from "./program.ts";
import { ServerProcess, type UpgradableConfig } from "./server-process.ts";

/** What a new server is to differ in. */
export interface GenerationOptions {
  readonly addresses?: readonly string[];
  readonly conf?: Partial<ServerConf>;
}

/** A server and those that take over from it, one after the other, before one origin; all ended when it goes out of scope. */
export class Generations implements AsyncDisposable {
  /** In order; those that have handed over may still finish what they had. */
  readonly all: ServerProcess[] = [];
  readonly folder: string;
  readonly #origin: Program;
  readonly #stack: AsyncDisposableStack;
  #options: Required<GenerationOptions>;

  private constructor(
    origin: Program,
    folder: string,
    options: Required<GenerationOptions>,
    stack: AsyncDisposableStack,
  ) {
    this.#origin = origin;
    this.folder = folder;
    this.#options = options;
    this.#stack = stack;
  }

  /**
   * @param options Addresses may name a socket file in {@link folder} by `unix:FOLDER/…`. Default: a port of 127.0.0.1.
   * `origin`: one that others use as well, and that stays. Default: one of its own, which also does jobs.
   */
  static async start(options: GenerationOptions & { readonly origin?: Program } = {}): Promise<Generations> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.adopt(mkdtempSync(path.join(tmpdir(), "sluice-upgrade-")), (own) =>
      rmSync(own, { recursive: true }),
    );
    const origin =
      options.origin ??
      stack.use(await Program.start("origin.ts", { port: 0, tag: "origin", jobs: path.join(folder, "jobs") }));
    const { addresses = ["127.0.0.1:0"], conf = {} } = options;
    const own = new Generations(origin, folder, { addresses, conf }, stack.move());
    try {
      await own.spawn(false).reaches("Running");
    } catch (error) {
      await own[Symbol.asyncDispose]();
      throw error;
    }
    return own;
  }

  /** The one that was started last. */
  get current(): ServerProcess {
    return this.all.at(-1)!;
  }

  /** The port of its first address. */
  get port(): number {
    return Number(this.current.addresses[0]!.split(":").at(-1));
  }

  /** Starts the next one, tells the current one to hand over, and waits until both have. */
  async upgrade(options: GenerationOptions = {}): Promise<ServerProcess> {
    const old = this.current;
    this.#options = { ...this.#options, ...options };
    const next = this.spawn(true);
    old.signal("SIGQUIT");
    await next.reaches("Running");
    await old.reaches("ShutdownStarted");
    return next;
  }

  /** Only starts it. */
  spawn(upgrade: boolean, options: GenerationOptions & Pick<UpgradableConfig, "waits" | "fails"> = {}): ServerProcess {
    const { addresses, conf, ...behaviour } = { ...this.#options, ...options };
    const next = new ServerProcess({
      ...behaviour,
      name: `generation ${this.all.length + 1}`,
      upgrade,
      addresses: addresses.map((address) => address.replace("FOLDER", this.folder)),
      upstream: `127.0.0.1:${this.#origin.port}`,
      conf: {
        upgrade_sock: path.join(this.folder, "upgrade.sock"),
        // A machine with much to do starts a process in its own time.
        upgrade_sock_connect_accept_max_retries: 60,
        ...conf,
      },
    });
    this.all.push(this.#stack.use(next));
    return next;
  }

  /** A server that failed to take over is none. */
  forget(server: ServerProcess): void {
    this.all.splice(this.all.indexOf(server), 1);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
