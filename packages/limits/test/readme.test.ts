import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

const folder = path.resolve(import.meta.dirname, "..");

test("the README's example does what it says", () => {
  const readme = readFileSync(path.join(folder, "README.md"), "utf8");
  const input = readme.match(/```ts\n([\s\S]*?)```/)?.[1];
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module-typescript", "-"], {
    cwd: folder,
    input,
    encoding: "utf8",
    timeout: 10_000,
  });
  const expected = [
    "this window: 1 5",
    "last window: 5 per second",
    "sliding: 5.75 per second",
    "in flight: 1 2",
    "afterwards: 0",
    "",
  ];
  expect({ stdout, stderr }).toEqual({ stdout: expected.join("\n"), stderr: "" });
});
