import { globSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { ROOT } from "../scripts/workspace.ts";

/** A document of ours. */
export interface Document {
  /** Relative to the workspace. */
  readonly file: string;
  readonly text: string;
}

/** A fenced block of code. */
export interface CodeBlock {
  /** What stands behind the opening fence, such as `ts`. */
  readonly language: string;
  readonly code: string;
  /** The line of the opening fence, counted from 1. */
  readonly line: number;
}

const DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/**/*.md", "packages/*/README.md", "apps/*/README.md"];

/** Everything we wrote for readers, sorted by file. */
export async function documents(): Promise<Document[]> {
  const files = globSync(DOCUMENTS, { cwd: ROOT });
  return Promise.all(
    files.toSorted().map(async (file) => ({ file, text: await readFile(path.join(ROOT, file), "utf8") })),
  );
}

/** The fenced blocks of `text`. Indented blocks of code are not among them. */
export function codeBlocks(text: string): CodeBlock[] {
  return Array.from(text.matchAll(FENCED), ({ groups, index }) => ({
    language: groups?.["language"] ?? "",
    code: groups?.["code"] ?? "",
    line: text.slice(0, index).split("\n").length,
  }));
}

/** The targets of links and images, those of reference definitions included, as written. Code holds no links. */
export function linkTargets(text: string): string[] {
  const prose = withoutCode(text);
  const inline = Array.from(prose.matchAll(/\]\(\s*<?([^\s)>]+)>?[^)]*\)/g), (match) => match[1] ?? "");
  const definitions = Array.from(prose.matchAll(/^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)/gm), (match) => match[1] ?? "");
  return [...inline, ...definitions];
}

/**
 * The anchors that `#…` may name: headings, turned into anchors as GitHub does, and `id`s of HTML.
 * A heading that occurs again gets `-1`, `-2`, ….
 */
export function anchors(text: string): Set<string> {
  const found = new Set(Array.from(text.matchAll(/<[a-z][^>]*\s(?:id|name)="([^"]+)"/gi), (match) => match[1] ?? ""));
  for (const [, heading = ""] of text.replaceAll(FENCED, "").matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const slug = headingSlug(heading);
    let anchor = slug;
    for (let again = 1; found.has(anchor); again++) anchor = `${slug}-${again}`;
    found.add(anchor);
  }
  return found;
}

const FENCED = /^(?<indent> *)(?<fence>`{3,}|~{3,})(?<language>[^\n`]*)\n(?<code>[\s\S]*?)^\k<indent>\k<fence>$/gm;

function withoutCode(text: string): string {
  return text.replaceAll(FENCED, "").replaceAll(/(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g, "");
}

function headingSlug(heading: string): string {
  return heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
}
