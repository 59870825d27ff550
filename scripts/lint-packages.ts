/**
 * Looks at the packages as they would be published: does what `package.json` promises exist in the tarball, and does a
 * compiler find the types? publint and attw (profile `esm-only`: CommonJS has `require(esm)`) judge each tarball.
 * Expects a build. Exits with 1 when a package has a problem.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { packAll } from "./pack.ts";
import { runCommand, type Command } from "./run-command.ts";

const folder = await mkdtemp(path.join(tmpdir(), "sluice-pack-"));
try {
  for (const { name, filename } of await packAll(folder)) {
    const linters: Command[] = [
      ["publint", "--strict", filename],
      ["attw", "--profile", "esm-only", "--no-emoji", filename],
    ];
    // Side by side: each has a compiler to load first.
    const results = await Promise.all(linters.map((linter) => runCommand(linter)));
    for (const [index, { exitCode, output }] of results.entries()) {
      if (exitCode === 0) continue;
      process.exitCode = 1;
      console.error(`${name}: ${linters[index]![0]} exited with ${exitCode}\n${output}`);
    }
  }
} finally {
  await rm(folder, { recursive: true });
}
