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
    env: { ...process.env, SLUICE_LOG: "warn" },
  });
  expect({ stdout, stderr }).toEqual({ stdout: "hello by TLSv1.3\n", stderr: "" });
});
