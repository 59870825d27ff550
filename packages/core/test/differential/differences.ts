import { bytesOf, readCorpus, type CorpusCase } from "../corpus.ts";
import { generatedRequests, generatedResponses, type Generated } from "./generated.ts";
import { llhttpOnRequests, llhttpOnResponse } from "./llhttp.ts";
import { oursOnRequests, oursOnResponse } from "./ours.ts";
import { difference, type Difference } from "./verdict.ts";

export type Side = "requests" | "responses";

/** A kind of difference, with the cases in which it showed. */
interface Found extends Difference {
  /** The names of the corpus's cases. */
  corpus: string[];
  /** Of the generated messages, the shortest. */
  shortest: Generated | undefined;
}

type AnyCase = CorpusCase & { method?: string; fin?: boolean };

export interface Compared {
  cases: number;
  generated: number;
  found: Found[];
}

/** Gives every message of one side to both parsers. */
export async function compareAll(side: Side): Promise<Compared> {
  const kinds = new Map<string, Found>();
  // Limits are ours alone.
  const cases = readCorpus<AnyCase>(`${side}.json`).filter(({ limits }) => limits === undefined);
  for (const { name, raw, method = "GET", fin = false } of cases) {
    const differs = await compare(side, { raw: bytesOf(raw), method, fin });
    if (differs !== undefined) kindOf(kinds, differs).corpus.push(name);
  }
  const generated = side === "requests" ? generatedRequests() : generatedResponses();
  for (const message of generated) {
    const differs = await compare(side, message);
    // Whether an error shows before a message is complete is no matter; of the corpus it is listed all the same.
    if (differs === undefined || isUndecided(differs)) continue;
    const kind = kindOf(kinds, differs);
    if (kind.shortest === undefined || message.raw.length < kind.shortest.raw.length) kind.shortest = message;
  }
  return { cases: cases.length, generated: generated.length, found: [...kinds.values()] };
}

/** Gives one message to both parsers. */
export async function compare(side: Side, { raw, method, fin }: Generated): Promise<Difference | undefined> {
  return side === "requests"
    ? difference(await oursOnRequests(raw), await llhttpOnRequests(raw))
    : difference(await oursOnResponse(raw, method, fin), await llhttpOnResponse(raw, method, fin));
}

function isUndecided({ ours, llhttp }: Difference): boolean {
  return [ours, llhttp].some((what) => what === "waits" || what === "stops");
}

function kindOf(kinds: Map<string, Found>, { ours, llhttp }: Difference): Found {
  const key = `${ours} | ${llhttp}`;
  let kind = kinds.get(key);
  if (kind === undefined) {
    kind = { ours, llhttp, corpus: [], shortest: undefined };
    kinds.set(key, kind);
  }
  return kind;
}
