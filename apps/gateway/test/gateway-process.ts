import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const READY_MS = 45_000;

/** The gateway as a process of its own; killed when it goes out of scope. */
export class GatewayProcess implements AsyncDisposable {
  stdout = "";
  stderr = "";
  /** The exit code; `null` if a signal ended it. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;

  constructor(args: string[], env: NodeJS.ProcessEnv = {}) {
    const child = spawn(process.execPath, [MAIN, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, SLUICE_LOG: "", ...env },
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.#child = child;
    // `close` and not `exit`: then all output has arrived.
    this.exited = once(child, "close").then(([code]) => code as number | null);
  }

  /** A gateway of this configuration, in a file in `folder`, that listens. */
  static async start(folder: string, yaml: string, env: NodeJS.ProcessEnv = {}): Promise<GatewayProcess> {
    const file = path.join(folder, `${randomUUID()}.yaml`);
    await writeFile(file, yaml);
    const gateway = new GatewayProcess(["-c", file], env);
    await gateway.until(() => gateway.stderr.includes('"msg":"listening"'));
    return gateway;
  }

  /** Where it listens, in the order of its file. */
  get addresses(): string[] {
    const line = this.stderr.split("\n").find((each) => each.includes('"msg":"listening"'));
    return line === undefined ? [] : (JSON.parse(line) as { addresses: string[] }).addresses;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves when `condition` holds; rejects with all output when the process ends or time runs out before. */
  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    const giveUpAt = performance.now() + READY_MS;
    while (!(await condition())) {
      if (this.#child.exitCode !== null || performance.now() > giveUpAt) {
        throw new Error(`exit code ${this.#child.exitCode}\n${this.stdout}\n${this.stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** The access lines so far. */
  get requests(): Record<string, unknown>[] {
    return this.lines("request");
  }

  /** The lines of its log so far that say this. */
  lines(message: string): Record<string, unknown>[] {
    return this.stderr
      .slice(0, this.stderr.lastIndexOf("\n") + 1)
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line["msg"] === message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}
