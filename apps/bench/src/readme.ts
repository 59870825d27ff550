import { readFile, writeFile } from "node:fs/promises";

const START = "<!-- results:start -->";
const END = "<!-- results:end -->";

/** Puts `results` into the README of this app, in place of the last ones. */
export async function writeReadme(results: string): Promise<void> {
  const file = new URL("../README.md", import.meta.url);
  await writeFile(file, replaceResults(await readFile(file, "utf8"), results));
}

/** `readme` with `results` between the two markers. Throws when a marker is missing. */
export function replaceResults(readme: string, results: string): string {
  const start = readme.indexOf(START);
  const end = readme.indexOf(END, start);
  if (start < 0 || end < 0) throw new Error(`the README has lost its markers ${START} and ${END}`);
  return `${readme.slice(0, start + START.length)}\n\n${results.trim()}\n\n${readme.slice(end)}`;
}
