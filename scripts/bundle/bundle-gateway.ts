/**
 * Makes a program of the gateway and all that it needs, in apps/gateway/dist, with a file of its own for what is loaded only when it is
 * asked for: it starts in a quarter of the time, since nothing has to be looked for, no types have to be taken out, and nothing is
 * compiled again. `node apps/gateway/dist/main.js --conf gateway.yaml`
 *
 * The modules are those of CommonJS: whoever imports one of Node.js's own as an ECMAScript module makes all that it exports, such as the
 * streams of `node:fs`. All of it is ASCII, with no comments but those of licences: the engine takes a byte a character for that and
 * not two.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, realpath, rm, writeFile } from "node:fs/promises";
import { createServer, get } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { rolldown } from "rolldown";
import { ROOT } from "../workspace.ts";

const SOURCE = path.join(ROOT, "apps/gateway/src");
/** What the gateway logs when it serves. */
const LISTENING = `"msg":"listening"`;

/** A character of a string or of a regular expression; elsewhere, and in String.raw, the code that is bundled has only ASCII. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** @param folder Where to; created if need be. */
export async function bundleGateway(folder: string): Promise<void> {
  await write(folder, "gateway.js", path.join(SOURCE, "main.ts"));
  await write(folder, "main.js", path.join(import.meta.dirname, "run-compiled.ts"));
  await cp(path.join(SOURCE, "demo.yaml"), path.join(folder, "demo.yaml"));
  await copyKoffi(path.join(folder, "node_modules"));
  // Without it Node.js would have to find out what the files are, wherever they are copied to.
  await writeFile(path.join(folder, "package.json"), `{ "type": "commonjs" }\n`);
  await compile(path.join(folder, "main.js"));
}

async function write(folder: string, name: string, input: string): Promise<void> {
  const bundle = await rolldown({ input, platform: "node" });
  try {
    // The names of functions and lines stay, for traces that can be read.
    await bundle.write({
      dir: folder,
      format: "cjs",
      minify: false,
      comments: { legal: true, annotation: false, jsdoc: false },
      entryFileNames: name,
      plugins: [{ name: "ascii", renderChunk: (code) => code.replace(/[^\0-\x7f]/g, escaped) }],
    });
  } finally {
    await bundle.close();
  }
}

/** Serves a request by it, for which it compiles what each start needs; it keeps that when it ends. */
async function compile(main: string): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), "compile-gateway-"));
  const origin = createServer((_request, response) => response.end()).listen(path.join(folder, "origin.sock"));
  try {
    await once(origin, "listening");
    await writeFile(
      path.join(folder, "gateway.yaml"),
      `listeners: [{ address: "unix:gateway.sock" }]
upstreams: { origin: { servers: ["unix:origin.sock"] } }
routes: [{ upstream: origin }]
`,
    );
    const gateway = spawn(process.execPath, [main, "-c", "gateway.yaml"], {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
    });
    const ended = once(gateway, "close");
    let log = "";
    gateway.stderr.setEncoding("utf8");
    for await (const text of gateway.stderr as AsyncIterable<string>) {
      if (log.includes(LISTENING)) continue;
      log += text;
      if (!log.includes(LISTENING)) continue;
      await once(get({ socketPath: path.join(folder, "gateway.sock") }), "response");
      gateway.kill("SIGTERM");
    }
    const [code] = await ended;
    if (code !== 0) throw new Error(`what was bundled does not serve: ${log}`);
  } finally {
    origin.close();
    await rm(folder, { recursive: true });
  }
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
