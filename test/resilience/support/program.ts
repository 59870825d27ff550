import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Message } from "./messages.ts";

const FOLDER = path.join(import.meta.dirname, "../programs");

/** How a process ended: its exit code, or the signal. */
export type Ending = number | NodeJS.Signals;

/** A program of this folder as a process of its own; killed when it goes out of scope. */
export class Program implements AsyncDisposable {
  readonly exited: Promise<Ending>;
  /** All it wrote to its standard error. */
  stderr = "";
  /** The port of 127.0.0.1 on which it listens. */
  port = 0;
  /** Called with each event that it tells. */
  onEvent: ((event: unknown) => void) | undefined = undefined;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: unknown) => void>();
  #calls = 0;

  private constructor(file: string, config: object) {
    const { NODE_OPTIONS: _, ...env } = process.env;
    const child = fork(path.join(FOLDER, file), [JSON.stringify(config)], {
      env: { ...env, SLUICE_LOG: "" },
      // Not those of the test runner.
      execArgv: [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    child.on("message", (message) => this.#onMessage(message as Message));
    // A message to one that was killed has nobody to fail for.
    child.on("error", () => undefined);
    this.#child = child;
    // `close` and not `exit`: then all output has arrived.
    this.exited = once(child, "close").then(([code, signal]) => (signal ?? code) as Ending);
  }

  /** Resolves when it listens. Rejects with what it wrote when it ends before. */
  static async start(file: string, config: object): Promise<Program> {
    const program = new Program(file, config);
    const listening = new Promise<void>((resolve) => program.#waiting.set(0, () => resolve()));
    const ended = program.exited.then((how) => {
      throw new Error(`${file} ended with ${how} before it listened:\n${program.stderr}`);
    });
    await Promise.race([listening, ended]);
    ended.catch(() => undefined);
    return program;
  }

  /** Asks for `name`; the program answers. */
  call<T>(name: string, argument?: unknown): Promise<T> {
    const number = ++this.#calls;
    return new Promise((resolve) => {
      this.#waiting.set(number, resolve as (answer: unknown) => void);
      this.#child.send({ call: name, argument, number });
    });
  }

  /** The lines of its log. */
  get log(): Record<string, unknown>[] {
    const lines = this.stderr.split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  get memory(): Memory {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "latin1");
    const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)![1]) * 1024;
    return { rss: bytes("VmRSS"), peak: bytes("VmHWM") };
  }

  /** From now on {@link Memory.peak} is that of the time after. */
  forgetPeak(): void {
    writeFileSync(`/proc/${this.#child.pid}/clear_refs`, "5");
  }

  /** Open file descriptors. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.#child.pid}/fd`).length;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  #onMessage(message: Message): void {
    if ("event" in message) {
      this.onEvent?.(message.event);
    } else if ("listening" in message) {
      this.port = message.listening;
      this.#settle(0, undefined);
    } else {
      this.#settle(message.number, message.answer);
    }
  }

  #settle(number: number, answer: unknown): void {
    this.#waiting.get(number)?.(answer);
    this.#waiting.delete(number);
  }
}

/** Resident memory of a process, in bytes. */
export interface Memory {
  readonly rss: number;
  /** The most it ever was. */
  readonly peak: number;
}
