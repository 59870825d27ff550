import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { ExecutionPhase, WorkerEndedMessage } from "../src/index.ts";

const PROGRAM = fileURLToPath(new URL("programs/life.ts", import.meta.url));
const PATIENCE_MS = 40_000;

/** What a process of the program has told. */
export interface Told extends Partial<WorkerEndedMessage> {
  /** Its process number. */
  from: number;
  phase?: ExecutionPhase;
  channel?: string;
  outcome?: string;
  addresses?: string[];
  once?: string;
  over?: boolean;
  holds?: boolean;
  blocks?: boolean;
}

export interface Answer {
  readonly pid: number;
  readonly body: string;
}

/** `programs/life.ts` as a process of its own; killed, with its workers, when it goes out of scope. */
export class LifeProcess implements AsyncDisposable {
  readonly told: Told[] = [];
  stderr = "";
  readonly child: ChildProcess;
  /** The exit code or the signal, once all output has arrived. */
  readonly exited: Promise<number | NodeJS.Signals>;
  readonly #pids = new Set<number>();
  #wake: () => void = () => undefined;

  constructor(settings: object, options: { execArgv?: string[]; env?: NodeJS.ProcessEnv } = {}) {
    const { NODE_OPTIONS: _, ...env } = process.env;
    this.child = spawn(process.execPath, [...(options.execArgv ?? []), PROGRAM, JSON.stringify(settings)], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...env, SLUICE_LOG: "debug", ...options.env },
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    createInterface({ input: this.child.stdout! }).on("line", (line) => {
      const told = JSON.parse(line) as Told;
      this.#pids.add(told.from);
      this.told.push(told);
      this.#wake();
    });
    this.exited = once(this.child, "close").then(([code, signal]) => {
      this.#wake();
      return (signal ?? code) as number | NodeJS.Signals;
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Resolves with the first `count` things told that are such; rejects with all output when the process ends before. */
  async until(such: (told: Told) => boolean, count = 1): Promise<Told[]> {
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = this.told.filter(such);
      if (found.length >= count) return found.slice(0, count);
      if (this.child.exitCode !== null || this.child.signalCode !== null || performance.now() > giveUpAt) {
        throw new Error(
          `it did not tell that:\n${this.told.map((one) => JSON.stringify(one)).join("\n")}\n${this.stderr}`,
        );
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, 200);
      });
    }
  }

  /** Resolves when the server runs, with its first address. */
  async running(): Promise<string> {
    await this.until(({ from, phase }) => from === this.pid && phase === "Running");
    const [announced] = await this.until(({ addresses }) => addresses !== undefined);
    return announced!.addresses![0]!;
  }

  /** Resolves when its log holds `text`. */
  async logged(text: string): Promise<void> {
    const giveUpAt = performance.now() + PATIENCE_MS;
    while (!this.stderr.includes(text)) {
      if (this.child.exitCode !== null || performance.now() > giveUpAt) throw new Error(`not logged:\n${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** The phases of a process, in order. */
  phases(pid: number = this.pid): ExecutionPhase[] {
    return this.told.flatMap(({ from, phase }) => (from === pid && phase !== undefined ? [phase] : []));
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** The log lines so far. */
  get log(): Record<string, unknown>[] {
    const lines = this.stderr.split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    for (const pid of this.#pids) killIfThere(pid);
    await this.exited;
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** Requests that are in flight until they are released. */
export class Held implements Disposable {
  readonly #folder = mkdtempSync(path.join(tmpdir(), "sluice-held-"));

  /** What to ask for. */
  get path(): string {
    return `/hold?until=${this.#folder}/released`;
  }

  release(): void {
    writeFileSync(`${this.#folder}/released`, "");
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

/** Asks `address` for `path`, on a connection of its own, or one of `agent`. */
export function get(address: string, target: string, agent?: Agent): Promise<Answer> {
  const own = agent ?? new Agent({ keepAlive: false });
  const at = address.lastIndexOf(":");
  const where = address.startsWith("unix:")
    ? { socketPath: address.slice(5) }
    : { host: address.slice(0, at), port: address.slice(at + 1) };
  return new Promise((resolve, reject) => {
    const call = request({ ...where, path: target, agent: own }, (response) => {
      let body = "";
      response.setEncoding("latin1").on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ pid: Number(response.headers["x-pid"]), body }));
      response.on("error", reject);
    });
    call.on("error", reject).end();
  });
}
