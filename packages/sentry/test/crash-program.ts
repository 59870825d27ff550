// A program that ends in the way that its first argument names, and reports to the DSN in the second.
import { spawn } from "node:child_process";
import cluster from "node:cluster";
import { backgroundService, configureLogs, Server } from "@sluice/core";
import { sentryReporter } from "@sluice/sentry";

const [end, dsn, flushMs] = process.argv.slice(2) as [string, string, string];
configureLogs({ levels: "silent" });
const reporter = sentryReporter({ dsn, flushMs: Number(flushMs) });

/** What a program does all day. */
const busy = setInterval(() => undefined, 1000);

const ENDS: Readonly<Record<string, () => unknown>> = {
  throws: () => setImmediate(throwOops),
  rejects: () => void Promise.reject(new Error("oops")),
  /** Somebody else decides, and lets it live a little. */
  "throws, and drains": () => {
    process.on("uncaughtException", () => void reporter.flush().then(() => process.exit(7)));
    setImmediate(throwOops);
  },
  /** Nothing is left to do, and a report is on its way. */
  ends: () => {
    clearInterval(busy);
    reporter.capture(new Error("oops"));
  },
  /** As a server does that is told to stop. */
  stops: async () => {
    const failing = backgroundService("failing", {
      run: (shutdown, ready) => {
        ready();
        shutdown.addEventListener("abort", () => reporter.capture(new Error("oops")));
        return Promise.resolve();
      },
    });
    const server = new Server().addService(reporter).addService(failing);
    await server.start();
    await server.stop(0);
    process.exit(0);
  },
  /** Its workers crash, one by a signal, one by an error. */
  forks: () => {
    if (cluster.isWorker)
      return cluster.worker!.id === 1 ? process.kill(process.pid, "SIGKILL") : setImmediate(throwOops);
    let gone = 0;
    cluster.on("exit", () => ++gone === 2 && void reporter.flush().then(() => process.exit(0)));
    cluster.fork();
    return cluster.fork();
  },
  /** As a daemon does: a process in the foreground starts the one that stays. */
  daemonises: () => {
    reporter.capture(new Error("in the foreground"));
    const options = { detached: true, stdio: "ignore" } as const;
    spawn(process.execPath, [process.argv[1]!, "throws", dsn, flushMs], options).unref();
    clearInterval(busy);
  },
};

ENDS[end]!();

function throwOops(): never {
  throw new Error("oops");
}
