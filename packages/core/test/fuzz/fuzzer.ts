import { bytesOf, readCorpus, type CorpusCase } from "../corpus.ts";
import { readHeaderBlocks } from "../header-blocks.ts";
import type { Coverage } from "./coverage.ts";
import { mutate } from "./mutate.ts";
import { Random } from "./random.ts";
import type { Target } from "./targets.ts";

/** Inputs between two readings of the coverage. */
const BATCH = 64;
/** Long enough for every limit that the targets use, but not for those of trailers and extensions: see `MAX_LONG`. */
const MAX_LENGTH = 1500;
const MAX_LONG = 40_000;

/** An input for which a property does not hold. */
export interface Find {
  target: string;
  text: string;
  cuts: number[];
  message: string;
}

export interface FuzzReport {
  target: string;
  runs: number;
  /** Inputs that did something new, those of the corpus included. */
  kept: number;
  finds: Find[];
}

export interface FuzzOptions {
  seed: number;
  /** Stop after so many inputs, or when `isOver` says so. */
  runs: number;
  isOver?: () => boolean;
  /** Without it only new outcomes count as new. */
  coverage?: Coverage;
}

interface Input {
  text: string;
  cuts: number[];
}

/** Changes inputs at random, keeps those that reach new code or a new outcome, and changes these further. */
export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzReport> {
  const random = new Random(options.seed);
  const pool = seeds(target).map((text) => ({ text, cuts: someCuts(random, text) }));
  const outcomes = new Set<string>();
  const finds = new Map<string, Find>();
  let runs = 0;

  const run = async (input: Input): Promise<boolean> => {
    runs++;
    try {
      const outcome = await target.check(input.text, input.cuts);
      if (outcomes.has(outcome)) return false;
      outcomes.add(outcome);
      return true;
    } catch (error) {
      const message = (error as Error).message.split("\n")[0]!;
      const kind = message.replaceAll(/\d+|"(?:[^"\\]|\\.)*"/gs, "…");
      const known = finds.get(kind);
      if (known === undefined || input.text.length < known.text.length) {
        finds.set(kind, { target: target.name, ...input, message });
      }
      return false;
    }
  };

  for (const input of pool) await run(input);
  options.coverage?.add();
  while (runs < options.runs && options.isOver?.() !== true) {
    const batch = Array.from({ length: BATCH }, () => next(random, pool));
    for (const input of batch) if (await run(input)) pool.push(input);
    const fresh = options.coverage?.add() ?? [];
    if (fresh.length === 0) continue;
    // Something in this batch ran new code: once more, one by one, to learn which.
    for (const input of batch) {
      await run(input);
      if (options.coverage!.hasRun(fresh)) pool.push(input);
    }
  }
  return { target: target.name, runs, kept: pool.length, finds: [...finds.values()] };
}

function next(random: Random, pool: readonly Input[]): Input {
  // What was found late is more promising.
  const recent = random.below(2) === 0 ? Math.max(pool.length - 50, 0) : 0;
  const from = pool[recent + random.below(pool.length - recent)]!;
  const text = mutate(random, from.text, random.pick(pool).text, random.below(100) === 0 ? MAX_LONG : MAX_LENGTH);
  return { text, cuts: someCuts(random, text) };
}

/** Where to cut: at a few places, or after every byte. */
function someCuts(random: Random, text: string): number[] {
  if (text.length < 200 && random.below(4) === 0) return Array.from({ length: text.length }, (_, at) => at + 1);
  const cuts = Array.from({ length: 1 + random.below(6) }, () => 1 + random.below(text.length + 1));
  return [...new Set(cuts)].toSorted((a, b) => a - b);
}

function seeds(target: Target): string[] {
  if (target.corpus === "header-blocks") {
    return readHeaderBlocks().map(({ blocks }) => Buffer.from(blocks.join(""), "hex").toString("latin1"));
  }
  const all = readCorpus<CorpusCase>(`${target.corpus}.json`).map(({ raw }) => bytesOf(raw));
  if (target.part === "all") return all.filter((text) => text.length < MAX_LENGTH);
  return all
    .filter((text) => /transfer-encoding/i.test(text) && text.length < MAX_LONG)
    .map((text) => text.slice(text.indexOf("\r\n\r\n") + 4))
    .filter((text) => text !== "");
}
