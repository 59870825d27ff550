import { parseArgs } from "node:util";
import { positiveInteger, words } from "../option-values.ts";
import { PROTOCOLS, type ProtocolName } from "../protocols.ts";

/** Those whose clients differ; what goes to the origin is nothing to idle connections. */
const IDLE_PROTOCOLS = ["h1", "tls", "h2", "h2-tls"] as const satisfies readonly ProtocolName[];
type IdleProtocol = (typeof IDLE_PROTOCOLS)[number];

/** What the command line asked for. */
export interface IdleMemoryOptions {
  /** What the connections speak. Default h1. */
  readonly protocol: IdleProtocol;
  /** Connections to hold. Default 8,000: what 20,000 file descriptors a process allow, should each take a second one. */
  readonly connections: number;
  /** Measurements of each proxy, each with a new process. Default 3: the least that has a median. */
  readonly rounds: number;
  /** Names of the contenders. Default for h1 the yardstick, ours, and what one writes by hand; for the others all. */
  readonly only: readonly string[] | undefined;
  /** Put the table into the README, besides printing it. */
  readonly writeReadme: boolean;
  readonly help: boolean;
}

/** Reads the command line. Throws with a sentence for the user on an unknown option or value. */
export function parseIdleMemoryArgs(args: readonly string[]): IdleMemoryOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      protocol: { type: "string", default: "h1" },
      connections: { type: "string", default: "8000" },
      rounds: { type: "string", default: "3" },
      only: { type: "string" },
      "write-readme": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const protocol = idleProtocol(values.protocol);
  const only = values.only ?? (protocol === "h1" ? "nginx,sluice,sluice-io-uring,node:http+undici" : undefined);
  return {
    protocol,
    connections: positiveInteger("connections", values.connections),
    rounds: positiveInteger("rounds", values.rounds),
    only: only === undefined ? undefined : words("only", only),
    writeReadme: values["write-readme"],
    help: values.help,
  };
}

function idleProtocol(word: string): IdleProtocol {
  const found = IDLE_PROTOCOLS.find((name) => name === word);
  if (found === undefined) throw new Error(`--protocol knows ${IDLE_PROTOCOLS.join(", ")}, not "${word}"`);
  return found;
}

/** The text of `--help`. */
export function usage(): string {
  return [
    "node apps/bench/src/idle-memory.ts [options]",
    `  --protocol h1            what the connections speak; one of:`,
    ...IDLE_PROTOCOLS.map((name) => {
      const names = PROTOCOLS[name].contenders.map((contender) => contender.name);
      return `    ${name.padEnd(8)} ${names.join(", ")}`;
    }),
    "  --connections 8000       connections to hold, after one request each",
    "  --rounds 3               measurements of each proxy",
    "  --only a,b               some of these proxies",
    "  --write-readme           put the table into the README",
  ].join("\n");
}
