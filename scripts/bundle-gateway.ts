/**
 * Makes a program of the gateway and all that it needs, in apps/gateway/dist, with a file of its own for what is loaded only when it is
 * asked for: it starts in a third of the time, since nothing has to be looked for, and no types have to be taken out.
 * `node apps/gateway/dist/main.js --conf gateway.yaml`
 *
 * `main.js` keeps what the engine has compiled in a folder beside it (`compiled`), which is filled here for this version of Node.js;
 * another one fills its own if it may write there, and does without if not. That is a third of the time again. All of it is ASCII, with
 * no comments but those of licences: the engine takes a byte a character for that and not two, which is another twelfth.
 */

import { execFile } from "node:child_process";
import { cp, readdir, realpath, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { rolldown } from "rolldown";
import { ROOT } from "./workspace.ts";

const SOURCE = path.join(ROOT, "apps/gateway/src");

const MAIN = `import module from "node:module";
import path from "node:path";

// Not in Node.js 20.
module.enableCompileCache?.(path.join(import.meta.dirname, "compiled"));
await import("./gateway.js");
`;

/** A character of a string or of a regular expression; elsewhere, and in String.raw, the code that is bundled has only ASCII. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** @param folder Where to; created if need be. */
export async function bundleGateway(folder: string): Promise<void> {
  const bundle = await rolldown({ input: path.join(SOURCE, "main.ts"), platform: "node" });
  try {
    // The names of functions and lines stay, for traces that can be read.
    await bundle.write({
      dir: folder,
      format: "esm",
      minify: false,
      comments: { legal: true, annotation: false, jsdoc: false },
      entryFileNames: "gateway.js",
      plugins: [{ name: "ascii", renderChunk: (code) => code.replace(/[^\0-\x7f]/g, escaped) }],
    });
  } finally {
    await bundle.close();
  }
  await cp(path.join(SOURCE, "demo.yaml"), path.join(folder, "demo.yaml"));
  await copyKoffi(path.join(folder, "node_modules"));
  // Without it Node would have to find out what the files are, wherever they are copied to.
  await writeFile(path.join(folder, "package.json"), `{ "type": "module" }\n`);
  const main = path.join(folder, "main.js");
  await writeFile(main, MAIN);
  // Compiles what each start needs, and keeps that when it ends.
  await promisify(execFile)(process.execPath, [main, "--demo", "-t"]);
}

/** By which the gateway calls the system, for upgrades and systemd. It loads a library of its own, and so cannot be bundled. */
async function copyKoffi(modules: string): Promise<void> {
  const koffi = await realpath(path.join(ROOT, "packages/linux/node_modules/koffi"));
  await cp(koffi, path.join(modules, "koffi"), { recursive: true, filter: isLoaded });
  // The library, of the system that this runs on; its installer leaves the others out.
  const platforms = path.join(koffi, "../@koromix");
  for (const name of await readdir(platforms)) {
    await cp(await realpath(path.join(platforms, name)), path.join(modules, "@koromix", name), { recursive: true });
  }
}

/** Whether it is code that runs, and not what the library is made from. */
function isLoaded(file: string): boolean {
  return !/[/\\](?:vendor|doc|lib)$/.test(file) && /[/\\][^.]+$|\.c?js$|package\.json$|LICENSE/.test(file);
}

if (import.meta.main) {
  const folder = path.join(ROOT, "apps/gateway/dist");
  // Of an earlier bundle, whose files have other names.
  await rm(folder, { recursive: true, force: true });
  await bundleGateway(folder);
}
