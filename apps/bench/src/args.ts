import { parseArgs } from "node:util";
import { positiveInteger, words } from "./option-values.ts";

/** What the command line asked for. */
export interface BenchOptions {
  /** Timed runs of each proxy with each workload. Default 3: the least that has a median. */
  readonly rounds: number;
  /** Length of one timed run. Default 5: at 100 clock ticks a second, one tick is 0.2 % of a busy core. */
  readonly seconds: number;
  /** Words that name workloads, in the order they are measured; see `chooseWorkloads`. */
  readonly workloads: readonly string[];
  /** Names of the contenders to run; `undefined` runs all that are installed. */
  readonly only: readonly string[] | undefined;
  /** Put the table into the README, besides printing it. */
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
      workloads: { type: "string", default: "13,1k,64k,1m,browser,upload" },
      only: { type: "string" },
      "write-readme": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return {
    rounds: positiveInteger("rounds", values.rounds),
    seconds: positiveInteger("seconds", values.seconds),
    workloads: words("workloads", values.workloads),
    only: values.only === undefined ? undefined : words("only", values.only),
    writeReadme: values["write-readme"],
    help: values.help,
  };
}

/** The text of `--help`. `names` are the contenders. */
export function usage(names: readonly string[]): string {
  return [
    "node apps/bench/src/main.ts [options]",
    "  --rounds 3                timed runs of each proxy with each workload",
    "  --seconds 5               length of a timed run",
    "  --workloads 13,1k,64k,1m,browser,upload",
    "                            sizes of response bodies, browser-like heads, chunked uploads",
    `  --only a,b                some of: ${names.join(", ")}`,
    "  --write-readme            put the table into the README",
  ].join("\n");
}
