import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { workspacePackages } from "../scripts/workspace.ts";

/** What users can import is a promise. One file per entry, one name per line, so that a change of it stands out in review. */
const SNAPSHOTS = path.join(import.meta.dirname, "exports");

const entries = (await workspacePackages()).flatMap(({ name, folder, manifest }) =>
  Object.entries(manifest.exports ?? {})
    .filter(([, target]) => target.endsWith(".ts"))
    .map(([entry, target]) => ({
      specifier: path.posix.join(manifest.name, entry),
      source: path.join(folder, target),
      snapshot: `${path.posix.join(name, entry).replaceAll("/", ".")}.txt`,
    })),
);

test.each(entries)("$specifier exports what it did", async ({ source, snapshot }) => {
  const { values, types } = exportedNames(await readFile(source, "utf8"));
  const module = (await import(source)) as object;
  expect(Object.keys(module).toSorted()).toEqual(values);
  const lines = [...values, ...types.map((name) => `type ${name}`)];
  await expect(lines.map((line) => `${line}\n`).join("")).toMatchFileSnapshot(path.join(SNAPSHOTS, snapshot));
});

test("no snapshot is left of an entry that is gone", async () => {
  const known = new Set(entries.map(({ snapshot }) => snapshot));
  expect((await readdir(SNAPSHOTS)).filter((file) => !known.has(file))).toEqual([]);
});

/**
 * Reads an entry file, which holds named re-exports and nothing else.
 * @throws on anything else, such as `export *`, which hides what is public.
 */
function exportedNames(source: string): { values: string[]; types: string[] } {
  const values: string[] = [];
  const types: string[] = [];
  const rest = source
    .replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "")
    .replaceAll(
      /export\s+(type\s+)?\{([^}]*)\}(?:\s*from\s*"[^"]+")?;/g,
      (_, allTypes: string | undefined, list: string) => {
        for (const item of list.split(",").map((text) => text.trim())) {
          if (item === "") continue;
          const name = item.split(/\s+/).at(-1) ?? item;
          (allTypes === undefined && !item.startsWith("type ") ? values : types).push(name);
        }
        return "";
      },
    );
  if (rest.trim() !== "") throw new Error(`An entry holds named re-exports only, not:\n${rest.trim()}`);
  return { values: values.toSorted(), types: types.toSorted() };
}
