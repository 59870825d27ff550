import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { processTree, readAllStats } from "./proc-cpu.ts";

/** How to start a server program in the foreground. */
export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** The only core it may use. */
  readonly core: number;
  /** The port of 127.0.0.1 it will listen on; once that answers, the program counts as started. */
  readonly port: number;
  /** What asks it to stop at once. Default `SIGTERM`. */
  readonly stopSignal?: NodeJS.Signals;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A running program. Stopped by `stop`, and at the latest when this process exits. */
export interface Child {
  /** The process whose tree is the program. */
  readonly pid: number;
  /** `undefined` while it runs, then how it ended and why, in a line. */
  ending(): string | undefined;
  /** Asks it to stop; after 5 s it and its descendants are killed. Resolves with all it wrote to its output. */
  stop(): Promise<string>;
}

/** A program did not come to listen. */
export class StartError extends Error {
  override readonly name = "StartError";
  /** All it wrote. */
  readonly output: string;
  constructor(message: string, output: string, options?: ErrorOptions) {
    super(message, options);
    this.output = output;
  }
}

/**
 * Starts a program on one core and waits, at most 15 s, until it listens. Otherwise it
 * is stopped and a `StartError` thrown.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  // taskset becomes the program (exec), so the child's pid is the program's.
  const child = spawn("taskset", ["-c", String(options.core), options.command, ...options.args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NODE_ENV: "production", ...options.env },
  });
  const output = collectOutput(child);
  const exited = once(child, "exit");
  exited.catch(() => {}); // a program that cannot be started is noticed by its missing pid
  const { pid } = child;
  if (pid === undefined) throw new Error(`${options.command} cannot be started`);
  running.add(child);

  const ending = (): string | undefined => {
    if (child.exitCode === null && child.signalCode === null) return undefined;
    return `ended with ${child.signalCode ?? child.exitCode}: ${tellingLine(output())}`;
  };
  const stop = async (): Promise<string> => {
    const alive = processTree(pid, readAllStats());
    if (ending() === undefined) {
      child.kill(options.stopSignal ?? "SIGTERM");
      const patience = new AbortController();
      await Promise.race([exited, sleep(STOP_MS, undefined, { signal: patience.signal }).catch(() => {})]);
      patience.abort();
    }
    if (ending() === undefined) {
      for (const member of alive) killQuietly(member.pid);
      await exited;
    }
    running.delete(child);
    return output();
  };

  try {
    await untilListening(options.port, ending);
  } catch (error) {
    throw new StartError((error as Error).message, await stop(), { cause: error });
  }
  return { pid, ending, stop };
}

// A last resort, for an exit that nobody planned. SIGTERM, because an nginx that is killed leaves its worker behind.
const running = new Set<ChildProcess>();
process.once("exit", () => running.forEach((child) => child.kill("SIGTERM")));

const START_MS = 15_000;
const STOP_MS = 5_000;

async function untilListening(port: number, ending: () => string | undefined): Promise<void> {
  const deadline = Date.now() + START_MS;
  while (!(await listens(port))) {
    const end = ending();
    if (end !== undefined) throw new Error(end);
    if (Date.now() > deadline) throw new Error(`does not listen on port ${port} after ${START_MS / 1000} s`);
    await sleep(50);
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

/** Keeps the last 64 KB a program wrote, both streams together. */
function collectOutput(child: ChildProcess): () => string {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      text = (text + chunk).slice(-65_536);
    });
  }
  return () => text;
}

/** The line that says what went wrong, as far as one can tell. */
function tellingLine(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return lines.find((line) => /error:|\[(emerg|alert)\]/i.test(line)) ?? lines.at(-1) ?? "no output";
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
