import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../scripts/workspace.ts";
import { anchors, documents, linkTargets } from "./markdown.ts";

const all = await documents();

test("there are documents", () => {
  expect(all.map(({ file }) => file)).toContain("CONTRIBUTING.md");
});

test.each(all)("every link of $file leads somewhere", async ({ file, text }) => {
  const broken: string[] = [];
  for (const target of linkTargets(text)) {
    if (/^[a-z][a-z\d+.-]*:/i.test(target)) continue; // elsewhere: not ours to keep alive
    const problem = await problemOf(target, file);
    if (problem !== undefined) broken.push(`${target}: ${problem}`);
  }
  expect(broken).toEqual([]);
});

/** What is wrong with a relative link of the document `from`; `undefined` when nothing is. */
async function problemOf(target: string, from: string): Promise<string | undefined> {
  const [relative = "", fragment] = target.split("#", 2);
  const file = relative === "" ? path.join(ROOT, from) : path.resolve(ROOT, path.dirname(from), decodeURI(relative));
  if (!file.startsWith(ROOT + path.sep)) return "leaves the repository";
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return "no such file";
  if (fragment === undefined) return undefined;
  if (found.isDirectory()) return "a folder has no anchors";
  const text = await readFile(file, "utf8");
  if (file.endsWith(".md")) return anchors(text).has(decodeURI(fragment)) ? undefined : "no such heading";
  return lineProblem(fragment, text);
}

/** `#L10` and `#L10-L20` name lines of a source file. */
function lineProblem(fragment: string, text: string): string | undefined {
  const lines = /^L(\d+)(?:-L(\d+))?$/.exec(fragment);
  if (lines === null) return "neither a line (#L10) nor lines (#L10-L20)";
  const last = Number(lines[2] ?? lines[1]);
  const count = text.trimEnd().split("\n").length;
  return last >= 1 && last <= count ? undefined : `has ${count} lines`;
}
