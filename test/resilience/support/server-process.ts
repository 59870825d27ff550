import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import type { ServerConf } from "../../../packages/core/src/index.ts";
import type { Ending } from "./program.ts";

/** How `programs/upgradable.ts` is started: its only argument, as JSON. */
export interface UpgradableConfig {
  /** Comes in the `X-Served-By` field of every response. */
  readonly name: string;
  readonly upgrade: boolean;
  readonly addresses: readonly string[];
  /** `host:port` of the origin. */
  readonly upstream: string;
  readonly conf: Partial<ServerConf>;
  /** A service that all others wait for is ready only when the test says so, by SIGUSR2. Default false. */
  readonly waits?: boolean;
  /** A service that starts when all others are ready cannot. Default false. */
  readonly fails?: boolean;
}

/** What it writes. */
export interface UpgradableLine {
  readonly pid: number;
  readonly phase: string;
  /** As bound. */
  readonly addresses: readonly string[];
}

const PROGRAM = path.join(import.meta.dirname, "../programs/upgradable.ts");

/** A server as a process of its own; killed when it goes out of scope. */
export class ServerProcess implements AsyncDisposable {
  readonly exited: Promise<Ending>;
  /** The phases that it has come to. */
  readonly phases: string[] = [];
  /** As bound, told with the last phase. */
  addresses: readonly string[] = [];
  /** Processes that have served for it, itself included. */
  readonly pids = new Set<number>();
  stderr = "";
  readonly #child: ChildProcess;
  #onPhase: () => void = () => undefined;

  constructor(config: UpgradableConfig) {
    const { NODE_OPTIONS: _, ...env } = process.env;
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(config)], {
      env: { ...env, SLUICE_LOG: "" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    createInterface({ input: child.stdout }).on("line", (line) => this.#onLine(JSON.parse(line) as UpgradableLine));
    this.#child = child;
    this.exited = once(child, "close").then(([code, signal]) => (signal ?? code) as Ending);
    void this.exited.then(() => this.#onPhase());
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Resolves when it has come to `phase`, again if it was there before. Rejects with its log when it ends before. */
  async reaches(phase: string, times = 1): Promise<void> {
    const reached = (): boolean => this.phases.filter((each) => each === phase).length >= times;
    while (!reached()) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        await this.exited;
        if (reached()) return;
        throw new Error(`it ended before it came to ${phase}; it was at ${this.phases.join(", ")}:\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => (this.#onPhase = resolve));
    }
  }

  /** The lines of its log, and of its workers. */
  get log(): Record<string, unknown>[] {
    const lines = this.stderr.split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  #onLine({ pid, phase, addresses }: UpgradableLine): void {
    this.pids.add(pid);
    // The workers' own phases tell nothing of the server.
    if (pid !== this.pid) return;
    this.phases.push(phase);
    this.addresses = addresses;
    this.#onPhase();
  }
}
