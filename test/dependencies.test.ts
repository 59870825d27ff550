import { globSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { workspacePackages, type WorkspacePackage } from "../scripts/workspace.ts";
import { importsOf } from "./imports.ts";

/**
 * What each package may depend on at run time. Arrows run one way: a package may name only those that stand above it, and
 * third-party ones only where their use was decided. A new package gets a line here.
 */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  error: [],
  http: [],
  pool: [],
  limits: [],
  linux: ["koffi"],
  core: ["@sluice/error", "@sluice/http", "@sluice/pool", "pino", "yaml", "zod"],
  proxy: ["@sluice/core", "@sluice/error", "@sluice/http"],
  // vitest is for its ./testing entry alone, and optional.
  "tls-openssl": ["@sluice/core", "@sluice/error", "vitest"],
  "load-balancing": ["@sluice/core", "@sluice/error", "@sluice/ketama", "undici"],
  prometheus: ["@sluice/core", "@sluice/http", "prom-client"],
  sentry: ["@sluice/core", "@sentry/node"],
};

/** These do no I/O, so they run anywhere and use nothing of Node.js. */
const PLATFORM_FREE: ReadonlySet<string> = new Set(["error", "http", "limits"]);

const packages = await workspacePackages();
const exported = new Set(packages.flatMap(({ manifest }) => entriesOf(manifest)));

test("there are packages, and each has a line in the table", () => {
  expect(packages.length).toBeGreaterThan(0);
  expect(packages.map(({ name }) => name).filter((name) => ALLOWED[name] === undefined)).toEqual([]);
});

test("the table's arrows run one way", () => {
  const above: string[] = [];
  for (const [name, allowed] of Object.entries(ALLOWED)) {
    const own = allowed.filter((dependency) => dependency.startsWith("@sluice/") && dependency.slice(8) in ALLOWED);
    expect(above).toEqual(expect.arrayContaining(own));
    above.push(`@sluice/${name}`);
  }
});

describe.each(packages)("$name", (pkg) => {
  const { name, folder, manifest } = pkg;
  const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
  const allowed = ALLOWED[name] ?? [];

  test("declares only what it may depend on", () => {
    expect(declared.filter((dependency) => !allowed.includes(dependency))).toEqual([]);
  });

  test("is built after the packages it depends on", async () => {
    const { references = [] } = JSON.parse(await readFile(path.join(folder, "tsconfig.json"), "utf8")) as {
      references?: { path: string }[];
    };
    const own = declared.filter((dependency) => dependency.startsWith("@sluice/"));
    const referenced = references.map((reference) => `@sluice/${path.basename(reference.path)}`);
    expect(referenced.toSorted()).toEqual(own.toSorted());
  });

  test("imports only what it declares, through the front door", async () => {
    const complaints: string[] = [];
    for (const file of sourcesOf(pkg)) {
      for (const specifier of importsOf(await readFile(file, "utf8"))) {
        const complaint = complainAbout(specifier, file);
        if (complaint !== undefined) complaints.push(`${path.relative(folder, file)}: ${specifier} ${complaint}`);
      }
    }
    expect(complaints).toEqual([]);
  });

  function complainAbout(specifier: string, file: string): string | undefined {
    if (specifier.startsWith(".")) {
      const target = path.resolve(path.dirname(file), specifier);
      if (!target.startsWith(path.join(folder, "src") + path.sep)) return "leaves the package's sources";
      if (!target.endsWith(".ts")) return "does not name the file with its .ts ending";
      return target === path.join(folder, "src/index.ts") ? "is the package's own index; import the module" : undefined;
    }
    if (specifier.startsWith("node:")) return PLATFORM_FREE.has(name) ? "belongs to Node.js" : undefined;
    const dependency = packageOf(specifier);
    if (dependency === manifest.name) return "is the package itself; import the module";
    if (!declared.includes(dependency)) return "is not a declared dependency";
    return dependency.startsWith("@sluice/") && !exported.has(specifier)
      ? "is not an entry of that package"
      : undefined;
  }
});

/** What runs: no tests, and no benchmarks, which may use more. */
function sourcesOf({ folder }: WorkspacePackage): string[] {
  const files = globSync("src/**/*.ts", { cwd: folder });
  return files.filter((file) => !/\.(test|test-d|bench)\.ts$/.test(file)).map((file) => path.join(folder, file));
}

/** `@scope/name/deep/path` → `@scope/name`. */
function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function entriesOf(manifest: WorkspacePackage["manifest"]): string[] {
  return Object.keys(manifest.exports ?? {}).map((entry) => path.posix.join(manifest.name, entry));
}
