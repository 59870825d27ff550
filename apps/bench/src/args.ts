import { parseArgs } from "node:util";
import { positiveInteger, words } from "./option-values.ts";
import { chooseProtocols, PROTOCOLS, type ProtocolName } from "./protocols.ts";

/** What the command line asked for. */
export interface BenchOptions {
  /** Timed runs of each proxy with each workload. Default 3: the least that has a median. */
  readonly rounds: number;
  /** Length of one timed run. Default 5: at 100 clock ticks a second, one tick is 0.2 % of a busy core. */
  readonly seconds: number;
  /** What the proxies are to speak, one table each. Default h1. */
  readonly protocols: readonly ProtocolName[];
  /** Words that name workloads, in the order they are measured; see `chooseWorkloads`. `undefined` takes each protocol's own. */
  readonly workloads: readonly string[] | undefined;
  /** Names of the contenders to run; `undefined` runs all that are installed. */
  readonly only: readonly string[] | undefined;
  /** Put the tables into the README, besides printing it. */
  readonly writeReadme: boolean;
  readonly help: boolean;
}

/** Reads the command line. Throws with a sentence for the user on an unknown option or value. */
export function parseBenchArgs(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "5" },
      protocols: { type: "string", default: "h1" },
      workloads: { type: "string" },
      only: { type: "string" },
      "write-readme": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return {
    rounds: positiveInteger("rounds", values.rounds),
    seconds: positiveInteger("seconds", values.seconds),
    protocols: chooseProtocols(words("protocols", values.protocols)),
    workloads: values.workloads === undefined ? undefined : words("workloads", values.workloads),
    only: values.only === undefined ? undefined : words("only", values.only),
    writeReadme: values["write-readme"],
    help: values.help,
  };
}

/** The text of `--help`. */
export function usage(): string {
  const protocols = Object.entries(PROTOCOLS);
  const names = new Set(protocols.flatMap(([, { contenders }]) => contenders.map(({ name }) => name)));
  return [
    "node apps/bench/src/main.ts [options]",
    "  --rounds 3                timed runs of each proxy with each workload",
    "  --seconds 5               length of a timed run",
    "  --protocols h1            what the proxies speak, a table each; some of:",
    ...protocols.map(([name, { says }]) => `    ${name.padEnd(9)} ${says}`),
    "  --workloads a,b           sizes of response bodies such as 13 or 64k; browser (like its heads), upload (in chunks),",
    "                            full-handshake, resumed-handshake; by default:",
    ...protocols.map(([name, { workloads }]) => `    ${name.padEnd(9)} ${workloads.join(",")}`),
    `  --only a,b                some of: ${[...names].join(", ")}`,
    "  --write-readme            put the tables into the README",
  ].join("\n");
}
