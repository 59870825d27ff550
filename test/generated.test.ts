import { readFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { generatedFiles } from "../scripts/generate.ts";
import { ROOT } from "../scripts/workspace.ts";

test.each([...(await generatedFiles())])("%s is current; else run node scripts/generate.ts", async (file, expected) => {
  expect(await readFile(path.join(ROOT, file), "utf8")).toBe(expected);
});
