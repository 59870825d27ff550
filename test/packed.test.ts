import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { build } from "../scripts/build.ts";
import { packAll, type PackedPackage } from "../scripts/pack.ts";
import { expectSuccess } from "../scripts/run-command.ts";
import { ROOT, readManifest } from "../scripts/workspace.ts";
import { EXPECTED, PROGRAM } from "./packed-program.ts";

/** For a build from nothing and an installation from an empty cache, both beside other tests. */
const SETUP_MS = 180_000;
const RUN_MS = 15_000;

/** Each of them is to be followed, release by release. pino alone brings a dozen; a change that needs more argues here. */
const MAX_THIRD_PARTIES = 20;

/** As strict as our users may be. */
const TSCONFIG = {
  compilerOptions: {
    // What the oldest Node.js we support runs.
    target: "es2023",
    module: "nodenext",
    moduleResolution: "nodenext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    // Our own declarations are checked as well, not only what the program says of them.
    skipLibCheck: false,
  },
  include: ["proxy.ts"],
};

let packed: PackedPackage[];
/** An application of its own: outside the workspace, with the tarballs installed. */
let app: string;

beforeAll(async () => {
  app = await mkdtemp(path.join(tmpdir(), "sluice-packed-"));
  await build();
  packed = await packAll(app);
  await writeFile(path.join(app, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await writeFile(path.join(app, "tsconfig.json"), JSON.stringify(TSCONFIG));
  await writeFile(path.join(app, "proxy.ts"), PROGRAM);
  const { version } = JSON.parse(await readFile(path.join(ROOT, "node_modules/@types/node/package.json"), "utf8")) as {
    version: string;
  };
  const wanted = [...packed.map(({ filename }) => filename), `@types/node@${version}`];
  await expectSuccess(["npm", "install", "--prefix", app, "--no-audit", "--no-fund", "--prefer-offline", ...wanted], {
    cwd: app,
  });
}, SETUP_MS);

afterAll(() => rm(app, { recursive: true }));

test("a tarball holds what was built, and nothing else", () => {
  expect(packed.length).toBeGreaterThan(0);
  for (const { name, files } of packed) {
    const paths = files.map((file) => file.path);
    const strangers = paths.filter(
      (file) => !/^(?:README\.md|package\.json|LICENSE|[\w-]+\.schema\.json)$/.test(file) && !isBuilt(file),
    );
    expect({ name, strangers }).toEqual({ name, strangers: [] });
    expect(paths, name).toEqual(
      expect.arrayContaining(["LICENSE", "README.md", "dist/index.d.ts", "dist/index.js", "package.json"]),
    );
  }
});

test("no package brings a crowd", async () => {
  const lines: string[] = [];
  for (const { name, size, files } of packed) {
    const others = await thirdParties(name);
    lines.push(
      `${name}: ${(size / 1_024).toFixed(1)} KiB in ${files.length} files, third-party packages: ${others.size}`,
    );
    expect(others.size, [...others].join(", ")).toBeLessThanOrEqual(MAX_THIRD_PARTIES);
  }
  console.log(lines.join("\n"));
});

test(
  "a proxy in JavaScript runs on the packed packages",
  async () => {
    // Only translated: what the compiler thinks of the packages' types is the next test.
    await expectSuccess(["tsc", "-p", app, "--noCheck", "--outDir", path.join(app, "js")]);
    expect(await outputLines("js/proxy.js")).toContain(EXPECTED);
  },
  RUN_MS + 10_000,
);

test(
  "a proxy in TypeScript compiles against the packed types, and runs",
  async () => {
    await expectSuccess(["tsc", "-p", app, "--noEmit"]);
    expect(await outputLines("proxy.ts")).toContain(EXPECTED);
  },
  RUN_MS + 30_000,
);

async function outputLines(file: string): Promise<string[]> {
  // This folder is never seen again: nothing of it is worth to be kept in the cache of our own programs.
  const env = { NODE_DISABLE_COMPILE_CACHE: "1" };
  const output = await expectSuccess(["node", path.join(app, file)], { cwd: app, timeoutMs: RUN_MS, env });
  return output.split("\n");
}

function isBuilt(file: string): boolean {
  return (
    file.startsWith("dist/") && /\.(?:js|d\.ts|js\.map|tsbuildinfo)$/.test(file) && !/\.(?:test|bench)\./.test(file)
  );
}

/** The names of everything that comes along with `name` and is not ours. */
async function thirdParties(name: string, found: Set<string> = new Set()): Promise<Set<string>> {
  const { dependencies = {} } = await readManifest(path.join(app, "node_modules", name));
  for (const dependency of Object.keys(dependencies)) {
    if (found.has(dependency)) continue;
    if (!dependency.startsWith("@sluice/")) found.add(dependency);
    await thirdParties(dependency, found);
  }
  return found;
}
