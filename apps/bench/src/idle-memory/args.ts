import { parseArgs } from "node:util";
import { positiveInteger, words } from "../option-values.ts";

/** What the command line asked for. */
export interface IdleMemoryOptions {
  /** Connections to hold. Default 8,000: what 20,000 file descriptors a process allow, should each take a second one. */
  readonly connections: number;
  /** Measurements of each proxy, each with a new process. Default 3: the least that has a median. */
  readonly rounds: number;
  /** Names of the contenders. Default the yardstick, ours, and what one writes by hand. */
  readonly only: readonly string[];
  /** Put the table into the README, besides printing it. */
  readonly writeReadme: boolean;
  readonly help: boolean;
}

/** Reads the command line. Throws with a sentence for the user on an unknown option or value. */
export function parseIdleMemoryArgs(args: readonly string[]): IdleMemoryOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      connections: { type: "string", default: "8000" },
      rounds: { type: "string", default: "3" },
      only: { type: "string", default: "nginx,sluice,node:http+undici" },
      "write-readme": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return {
    connections: positiveInteger("connections", values.connections),
    rounds: positiveInteger("rounds", values.rounds),
    only: words("only", values.only),
    writeReadme: values["write-readme"],
    help: values.help,
  };
}

/** The text of `--help`. `names` are the contenders. */
export function usage(names: readonly string[]): string {
  return [
    "node apps/bench/src/idle-memory.ts [options]",
    "  --connections 8000       keep-alive connections to hold, after one request each",
    "  --rounds 3               measurements of each proxy",
    `  --only a,b               some of: ${names.join(", ")}`,
    "  --write-readme           put the table into the README",
  ].join("\n");
}
