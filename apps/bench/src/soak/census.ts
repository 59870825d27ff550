import { readdirSync } from "node:fs";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

/** What a process holds. */
export interface Census {
  /** The JavaScript heap after everything that can go has gone. */
  readonly heapBytes: number;
  readonly descriptors: number;
  readonly timers: number;
  /** Requests for which `newCtx` ran, and for which `logging` did. */
  readonly begun: number;
  readonly logged: number;
  /** Errors that nobody caught. */
  readonly uncaught: number;
}

/** In the process: answers whoever asks. Wants `--expose-gc`. */
export function answerCensus(counts: () => Pick<Census, "begun" | "logged" | "uncaught">): void {
  process.on("message", (message) => {
    if (message !== "census") return;
    // What one collection lets go of, the next collects.
    for (let round = 0; round < 4; round++) globalThis.gc!();
    const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const census: Census = {
      heapBytes: process.memoryUsage().heapUsed,
      descriptors: readdirSync("/proc/self/fd").length,
      timers,
      ...counts(),
    };
    process.send!(census);
  });
}

/** Asks a process. */
export async function takeCensus(child: ChildProcess): Promise<Census> {
  const answered = once(child, "message") as Promise<[Census]>;
  child.send("census");
  return (await answered)[0];
}

/** Asks until it holds no more than `idle`, for at most `timeoutMs`; the last answer either way. */
export async function censusWhenIdle(child: ChildProcess, idle: Census, timeoutMs: number): Promise<Census> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const census = await takeCensus(child);
    if (isIdle(census, idle) || Date.now() > deadline) return census;
    await sleep(200);
  }
}

function isIdle(census: Census, idle: Census): boolean {
  return census.descriptors <= idle.descriptors && census.timers <= idle.timers && census.begun === census.logged;
}
