import { parseArgs } from "node:util";
import { parseBodySize } from "./body-size.ts";

/** What the command line asked for. */
export interface BenchOptions {
  /** Timed runs of each proxy with each body size. Default 3: the least that has a median. */
  readonly rounds: number;
  /** Length of one timed run. Default 5: at 100 clock ticks a second, one tick is 0.2 % of a busy core. */
  readonly seconds: number;
  /** Body sizes in bytes, in the order they are measured. Default 13 B, 1 KB, 64 KB, 1 MB. */
  readonly sizes: readonly number[];
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
      sizes: { type: "string", default: "13,1k,64k,1m" },
      only: { type: "string" },
      "write-readme": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return {
    rounds: positiveInteger("rounds", values.rounds),
    seconds: positiveInteger("seconds", values.seconds),
    sizes: [...new Set(words("sizes", values.sizes).map(parseBodySize))],
    only: values.only === undefined ? undefined : words("only", values.only),
    writeReadme: values["write-readme"],
    help: values.help,
  };
}

/** The text of `--help`. `names` are the contenders. */
export function usage(names: readonly string[]): string {
  return [
    "node apps/bench/src/main.ts [options]",
    "  --rounds 3               timed runs of each proxy with each size",
    "  --seconds 5              length of a timed run",
    "  --sizes 13,1k,64k,1m     response bodies",
    `  --only a,b               some of: ${names.join(", ")}`,
    "  --write-readme           put the table into the README",
  ].join("\n");
}

function words(name: string, list: string): string[] {
  const unique = new Set(list.split(",").map((word) => word.trim()));
  unique.delete("");
  if (unique.size === 0) throw new Error(`--${name} wants a list such as a,b`);
  return [...unique];
}

function positiveInteger(name: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${name} wants a whole number above 0, not "${value}"`);
  return number;
}
