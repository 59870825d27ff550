import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

interface Waiting {
  readonly pattern: RegExp;
  readonly resolve: (line: string) => void;
  readonly reject: (error: Error) => void;
}

/** A program of `src`, run as a process of its own; killed when it goes out of scope. */
export class Example implements AsyncDisposable {
  /** What it has said so far, on both outputs. */
  readonly lines: string[] = [];
  /** The exit code; `null` if a signal ended it. All output has arrived then. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #waiting = new Set<Waiting>();

  constructor(name: string, args: readonly string[]) {
    const program = fileURLToPath(new URL(`../../src/${name}.ts`, import.meta.url));
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, SLUICE_LOG: "" },
    });
    for (const output of [child.stdout, child.stderr]) {
      let rest = "";
      output.setEncoding("utf8").on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop()!;
        for (const line of lines) this.#said(line);
      });
    }
    this.#child = child;
    this.exited = once(child, "close").then(([code]) => {
      const error = new Error(`ended with ${String(code)}; it said:\n${this.lines.join("\n")}`);
      for (const { reject } of this.#waiting) reject(error);
      return code as number | null;
    });
  }

  /** Resolves when it listens. `LISTEN` among the arguments stands for an address of the system's choice. */
  static async start(name: string, ...args: string[]): Promise<Example> {
    const example = new Example(
      name,
      args.map((arg) => (arg === "LISTEN" ? "127.0.0.1:0" : arg)),
    );
    await example.line(/^listening on /);
    return example;
  }

  /** `127.0.0.1:1234`, one for each listener, in the order in which the program names them. */
  get addresses(): string[] {
    const line = this.lines.find((each) => each.startsWith("listening on "));
    return (line ?? "").match(/[\d.]+:\d+/g)!;
  }

  /** The same as `http://127.0.0.1:1234`. */
  get urls(): string[] {
    return this.addresses.map((address) => `http://${address}`);
  }

  /** The first line that matches, said before or still to come; rejects when the program ends without. */
  line(pattern: RegExp): Promise<string> {
    const said = this.lines.find((line) => pattern.test(line));
    if (said !== undefined) return Promise.resolve(said);
    return new Promise((resolve, reject) => this.#waiting.add({ pattern, resolve, reject }));
  }

  /** The lines of its log so far. */
  get log(): Record<string, unknown>[] {
    const lines = this.lines.filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it as an operator would; resolves with the exit code. */
  stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    return this.exited;
  }

  #said(line: string): void {
    this.lines.push(line);
    for (const waiting of this.#waiting) {
      if (!waiting.pattern.test(line)) continue;
      this.#waiting.delete(waiting);
      waiting.resolve(line);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}
