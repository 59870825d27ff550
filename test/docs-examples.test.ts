import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { expectSuccess } from "../scripts/run-command.ts";
import { ROOT, workspacePackages } from "../scripts/workspace.ts";
import { codeBlocks, documents } from "./markdown.ts";

/** An example is to show something, not to take its time. */
const TIME_LIMIT_MS = 10_000;

const examples = (await documents()).flatMap(({ file, text }) =>
  codeBlocks(text)
    .filter(({ language }) => language.trim() === "ts")
    .map(({ code, line }) => ({
      where: `${file}:${line}`,
      name: `${file.replaceAll(/[^a-z\d]+/gi, "-")}-${line}.ts`,
      code,
      runs: /^\s*\/\/ run\b/.test(code),
    })),
);
const programs = examples.filter(({ runs, code }) => runs || /^(?:\s*\/\/.*\n)*\s*import\b/.test(code));

let folder: string;

beforeAll(async () => {
  // Under apps/examples, so that third-party packages are found there; `dist` is no part of the sources.
  await mkdir(path.join(ROOT, "apps/examples/dist"), { recursive: true });
  folder = await mkdtemp(path.join(ROOT, "apps/examples/dist/docs-"));
  const scope = path.join(folder, "node_modules/@sluice");
  await mkdir(scope, { recursive: true });
  for (const pkg of await workspacePackages()) await symlink(pkg.folder, path.join(scope, pkg.name));
  for (const { name, code } of programs) await writeFile(path.join(folder, name), code);
  await writeFile(path.join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: path.join(ROOT, "tsconfig.json"),
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
      include: ["*.ts"],
    }),
  );
});

afterAll(() => rm(folder, { recursive: true }));

test("the programs in our documents type-check", async () => {
  if (programs.length === 0) return; // tsc takes no input for a mistake
  await expectSuccess(["tsc", "-p", path.join(folder, "tsconfig.json")]);
});

test.each(examples.filter(({ runs }) => runs))(
  "the example at $where runs",
  async ({ name }) => {
    await expectSuccess(["node", path.join(folder, name)], { cwd: folder, timeoutMs: TIME_LIMIT_MS });
  },
  TIME_LIMIT_MS + 5_000,
);
