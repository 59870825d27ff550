import { readFileSync } from "node:fs";
import type { HeadLimits } from "../src/http1/head-limits.ts";

/** Bytes as characters; long runs are given as a repetition. */
export type Raw = string | (string | { repeat: string; times: number })[];

export interface CorpusCase {
  name: string;
  /** Where it is decided. */
  rfc: string;
  raw: Raw;
  limits?: Partial<HeadLimits>;
}

export function readCorpus<C extends CorpusCase>(file: string): C[] {
  return JSON.parse(readFileSync(new URL(`corpus/${file}`, import.meta.url), "utf8")) as C[];
}

export function bytesOf(raw: Raw): string {
  if (typeof raw === "string") return raw;
  return raw.map((part) => (typeof part === "string" ? part : part.repeat.repeat(part.times))).join("");
}

const LONG = 2000;

/** Ways to cut `bytes`: whole, at every boundary into two, byte by byte; of what is long, a sample of these. */
function waysToCut(bytes: string): string[][] {
  const ways: string[][] = [[bytes]];
  for (let at = 1; at < bytes.length; at += bytes.length > LONG && at > 100 && bytes.length - at > 100 ? 1009 : 1) {
    ways.push([bytes.slice(0, at), bytes.slice(at)]);
  }
  const size = bytes.length > LONG ? 997 : 1;
  const pieces: string[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
  ways.push(pieces);
  return ways;
}

/** Runs `judge` for each way, several at a time. */
export async function forEachWay(
  bytes: string,
  judge: (pieces: string[], label: string) => Promise<void>,
): Promise<void> {
  const ways = waysToCut(bytes);
  for (let at = 0; at < ways.length; at += 40) {
    await Promise.all(
      ways.slice(at, at + 40).map((pieces) => {
        const label = pieces.length === 2 ? `cut after ${pieces[0]!.length} bytes` : `in ${pieces.length} pieces`;
        return judge(pieces, label);
      }),
    );
  }
}
