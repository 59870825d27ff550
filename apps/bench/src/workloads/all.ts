import { parseBodySize } from "../body-size.ts";
import type { Workload } from "../workload.ts";
import { browser } from "./browser.ts";
import { download } from "./download.ts";
import { handshake } from "./handshake.ts";
import { upload } from "./upload.ts";

/** Those that are not just a body size. */
const NAMED: Readonly<Record<string, () => Workload>> = {
  browser,
  upload,
  "full-handshake": () => handshake("full"),
  "resumed-handshake": () => handshake("resumed"),
};

/**
 * The workloads that words name, in their order, each once: a size such as `13` or `64k` is a response body to download, the
 * others have names. Throws on a word that is neither.
 */
export function chooseWorkloads(words: readonly string[]): Workload[] {
  const workloads = words.map(workloadOf);
  return workloads.filter(({ name }, index) => workloads.findIndex((other) => other.name === name) === index);
}

function workloadOf(word: string): Workload {
  const named = Object.hasOwn(NAMED, word) ? NAMED[word] : undefined;
  if (named !== undefined) return named();
  try {
    return download(parseBodySize(word));
  } catch (error) {
    throw new Error(`none of ${Object.keys(NAMED).join(", ")}, and ${(error as Error).message}`, { cause: error });
  }
}
