import { fork, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import { isBusMessage } from "../bus/bus-message.ts";
import { filesForWorker } from "../config/inherited-files.ts";
import type { BusPeer } from "../bus/server-bus.ts";
import { CONFIG_FD, FIRST_LISTENING_FD, roleEnvironment } from "../server/process-role.ts";
import { FatalReport } from "./fatal-report.ts";
import type { WorkerEndCause } from "./worker-channels.ts";
import type { PrimaryMessage, WorkerMessage } from "./worker-messages.ts";

/** Of the heap's limit: a runtime that aborts with so much in use and has written no report has probably run out of it. */
const NEARLY_FULL = 0.5;

/** What to start a worker with. */
export interface WorkerSpec {
  readonly id: number;
  readonly fds: ReadonlyMap<string, number>;
  readonly errorLog: string | undefined;
  readonly threadPoolSize: number | undefined;
}

/** What becomes of a worker. Each is called at most once, but for messages. */
export interface WorkerEvents {
  message(worker: WorkerHandle, message: WorkerMessage): void;
  ended(worker: WorkerHandle, exitCode: number | null, signal: NodeJS.Signals | null): void;
}

/** A worker, seen from the process that has started it. */
export class WorkerHandle implements BusPeer {
  readonly id: number;
  readonly startedAtMs: number = performance.now();
  /** `undefined` until its services are ready. */
  readyAtMs: number | undefined = undefined;
  /** When it last showed that its event loop turns; its start until it has for the first time. */
  seenAtMs: number = this.startedAtMs;
  /** It has said that it is there. */
  greeted = false;
  /** Why it is to end; what it ended of, if nothing else is known. */
  expectedEnd: WorkerEndCause | undefined = undefined;
  /** What it said about that. */
  message = "";
  #heapUse = 0;
  readonly #child: ChildProcess;
  readonly #report = new FatalReport();

  constructor(spec: WorkerSpec, events: WorkerEvents) {
    this.id = spec.id;
    try {
      this.#child = start(spec, this.#report);
    } catch (error) {
      this.#report.close();
      throw error;
    }
    this.#child.on("message", (message) => events.message(this, message as WorkerMessage));
    // A message to one that has ended has nobody to fail for; one that could not be started ends by `close`, too.
    this.#child.on("error", (error) => (this.message ||= error.message));
    // And not `exit`: then all that it told has arrived.
    this.#child.once("close", (code, signal) => {
      if (signal === "SIGABRT") this.#onAbort();
      this.#report.close();
      events.ended(this, code, signal);
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get livedMs(): number {
    return this.readyAtMs === undefined ? 0 : performance.now() - this.readyAtMs;
  }

  send(message: PrimaryMessage): void {
    if (!this.#child.connected) return;
    if (isBusMessage(message)) this.#child.send(message);
    // Between `connected` and the write it may end; nobody is told of that message.
    else this.#child.send(message, () => undefined);
  }

  hello(): void {
    this.greeted = true;
    this.seenAtMs = performance.now();
  }

  seen(heapUsed: number, heapLimit: number): void {
    this.seenAtMs = performance.now();
    this.#heapUse = heapUsed / heapLimit;
  }

  kill(cause: WorkerEndCause | undefined): void {
    this.expectedEnd ??= cause;
    this.#child.kill("SIGKILL");
  }

  /** What it ended of. */
  causeOf(signal: NodeJS.Signals | null): WorkerEndCause {
    if (this.expectedEnd !== undefined) return this.expectedEnd;
    if (signal === "SIGABRT") return "aborted";
    if (signal !== null) return "killed";
    return this.readyAtMs === undefined ? "could-not-start" : "exited";
  }

  /** Whatever it was to end of before. */
  #onAbort(): void {
    const report = this.#report.read(this.pid);
    const outOfMemory = report?.outOfMemory ?? this.#heapUse > NEARLY_FULL;
    this.expectedEnd = outOfMemory ? "out-of-memory" : "aborted";
    if (report !== undefined) this.message = report.what;
  }
}

function start({ id, fds, errorLog, threadPoolSize }: WorkerSpec, report: FatalReport): ChildProcess {
  const [, program, ...args] = process.argv;
  if (program === undefined) throw new Error("workers run the program that was started, and there is none");
  const keys = [...fds.keys()];
  const role = {
    kind: "worker",
    id,
    errorLog,
    fds: keys.map((key, index) => [key, FIRST_LISTENING_FD + index] as const),
  } as const;
  const env: NodeJS.ProcessEnv = { ...process.env, ...roleEnvironment(role) };
  if (threadPoolSize !== undefined) env["UV_THREADPOOL_SIZE"] = String(threadPoolSize);
  const child = fork(program, args, {
    env,
    // Of several that are to be inspected at the same address, all but one would fail.
    execArgv: [
      ...process.execArgv.filter((option) => !option.startsWith("--inspect")),
      ...report.execArgv(FIRST_LISTENING_FD + fds.size),
    ],
    serialization: "advanced",
    stdio: [
      "ignore",
      "inherit",
      "inherit",
      "ipc",
      "pipe",
      ...fds.values(),
      ...(report.fd === undefined ? [] : [report.fd]),
    ],
  });
  const config = child.stdio[CONFIG_FD] as Socket;
  // A worker need not read it.
  config
    .on("error", () => undefined)
    .resume()
    .end(filesForWorker());
  return child;
}
