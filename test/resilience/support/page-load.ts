import type { Call, Outcome } from "./client.ts";
import { pattern } from "./pattern.ts";

/** How many different contents pages have. */
const SEEDS = 5;
const SMALL = 2000;
const LARGE = 262_144;

/**
 * Calls with an id each: pages, of which every twentieth is large, so that some are always in the middle of their body; and
 * every `jobEvery`th call a job, to be done once.
 */
export function pageCalls(jobEvery = Number.POSITIVE_INFINITY): () => Call {
  let count = 0;
  return () => {
    const id = ++count;
    if (id % jobEvery === 0) return { method: "POST", target: `/job?id=${id}&ms=10` };
    return { method: "GET", target: `/page?id=${id}&seed=${id % SEEDS}&size=${sizeOf(id)}&ms=10` };
  };
}

/** It was answered, whole and with the right bytes. */
export function isGood(outcome: Pick<Outcome, keyof Call | "end" | "status" | "body">): boolean {
  if (outcome.end !== "complete" || outcome.status !== 200) return false;
  if (outcome.method === "POST") return outcome.body.equals(DONE);
  const id = Number(idOf(outcome));
  return outcome.body.equals(pageOf(id));
}

/** The id of a call. */
export function idOf({ target }: Call): string {
  return /[?&]id=(\d+)/.exec(target)![1]!;
}

const DONE = Buffer.from("done");
const pages = new Map<string, Buffer>();

function sizeOf(id: number): number {
  return id % 20 === 1 ? LARGE : SMALL;
}

function pageOf(id: number): Buffer {
  const key = `${id % SEEDS} ${sizeOf(id)}`;
  let page = pages.get(key);
  if (page === undefined) {
    page = pattern(`${id % SEEDS}`, sizeOf(id));
    pages.set(key, page);
  }
  return page;
}
