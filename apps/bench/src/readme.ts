import { readFile, writeFile } from "node:fs/promises";
import type { ProtocolName } from "./protocols.ts";

/** A part of the README that is written by a program, between the markers of this name. */
export type Section = `${"results" | "memory"}${"" | `-${string}`}`;

/** The section for a protocol: that of HTTP/1 has the bare name. */
export function sectionOf(kind: "results" | "memory", protocol: ProtocolName): Section {
  return protocol === "h1" ? kind : `${kind}-${protocol}`;
}

/** Puts `text` into the README of this app, in place of what the section held. */
export async function writeReadme(section: Section, text: string): Promise<void> {
  const file = new URL("../README.md", import.meta.url);
  await writeFile(file, replaceSection(await readFile(file, "utf8"), section, text));
}

/** `readme` with `text` between the section's two markers. Throws when a marker is missing. */
export function replaceSection(readme: string, section: Section, text: string): string {
  const startMarker = `<!-- ${section}:start -->`;
  const endMarker = `<!-- ${section}:end -->`;
  const start = readme.indexOf(startMarker);
  const end = readme.indexOf(endMarker, start);
  if (start < 0 || end < 0) throw new Error(`the README has lost its markers ${startMarker} and ${endMarker}`);
  return `${readme.slice(0, start + startMarker.length)}\n\n${text.trim()}\n\n${readme.slice(end)}`;
}
