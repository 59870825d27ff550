import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { freePort } from "./free-port.ts";
import { positiveInteger } from "./option-values.ts";
import { censusWhenIdle, takeCensus } from "./soak/census.ts";
import { load, type LoadCounts } from "./soak/load.ts";
import { startSoakOrigin } from "./soak/origin.ts";
import { describeSoak, faultsOf, type SoakResult } from "./soak/verdict.ts";

const USAGE = `node apps/bench/src/soak.ts [options]
  --seconds 600            length of the load
  --early 120              seconds after which the heap is looked at first
  --clients 40             clients at the same time`;

/** What is left of a client or of an upstream connection is gone by then; both wait for at most 5 s. */
const SETTLE_MS = 20_000;

interface SoakOptions {
  readonly seconds: number;
  readonly early: number;
  readonly clients: number;
}

/** One proxy process under the load of clients that behave in every way, and what it holds before, meanwhile and afterwards. */
async function soak({ seconds, early, clients }: SoakOptions, signal: AbortSignal): Promise<SoakResult> {
  await using origin = await startSoakOrigin();
  const port = await freePort();
  const program = join(import.meta.dirname, "soak/proxy.ts");
  const proxy = fork(program, [String(port), String(origin.port)], { execArgv: ["--expose-gc"] });
  const failed = once(proxy, "exit").then(([code]) => {
    throw new Error(`the proxy ended with ${code}`);
  });
  failed.catch(() => undefined);
  try {
    await Promise.race([once(proxy, "message"), failed]);
    const counts: LoadCounts = { done: new Map(), failures: new Map() };
    // Code that has run once is part of the heap from then on, and lazily opened files are open.
    const warm: LoadCounts = { done: new Map(), failures: new Map() };
    const empty = await takeCensus(proxy);
    await load(port, clients, 1, warm, signal);
    const idle = await censusWhenIdle(proxy, empty, SETTLE_MS);
    console.error(`${early} s of load, then a look at the heap`);
    await load(port, clients, early, counts, signal);
    const before = await censusWhenIdle(proxy, idle, SETTLE_MS);
    console.error(`${seconds - early} s more`);
    await load(port, clients, seconds - early, counts, signal);
    const end = await censusWhenIdle(proxy, idle, SETTLE_MS);
    signal.throwIfAborted();
    return { idle, early: before, end, counts };
  } finally {
    proxy.kill("SIGINT");
    if (proxy.exitCode === null && proxy.signalCode === null) await once(proxy, "exit");
  }
}

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "600" },
      early: { type: "string", default: "120" },
      clients: { type: "string", default: "40" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const options = {
    seconds: positiveInteger("seconds", values.seconds),
    early: positiveInteger("early", values.early),
    clients: positiveInteger("clients", values.clients),
  };
  if (options.early >= options.seconds) throw new Error("--early wants less than --seconds");
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => stop.abort());
  const result = await soak(options, stop.signal);
  console.log(describeSoak(result));
  const faults = faultsOf(result);
  for (const fault of faults) console.error(`fault: ${fault}`);
  return faults.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
