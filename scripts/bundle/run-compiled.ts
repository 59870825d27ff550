/**
 * What `main.js` of the bundle is: it runs `gateway.js` beside it with what the engine compiled of it in an earlier run. Node.js's own
 * compile cache keeps only what was compiled before the program ran, so that each start would compile all of its functions again: with
 * those, and as CommonJS, the first request is served after 245 ms instead of 280 (apps/bench/src/start-up.ts, by turns).
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import Module from "node:module";
import path from "node:path";
import vm from "node:vm";
import { crc32 } from "node:zlib";

const FOLDER = path.join(import.meta.dirname, "compiled");
/** What is told when a request is over: then the functions that serving needs are compiled. */
const SERVED = "sluice:proxy:request-end";
/** Of Node.js: that of the packages' `engines`. */
const OLDEST = { major: 22, minor: 19 };

const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
if (major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)) {
  // Of the files that are loaded when they are asked for.
  Module.enableCompileCache(FOLDER);
  run(path.join(import.meta.dirname, "gateway.js"));
} else {
  process.stderr.write(
    `gateway: needs Node.js ${OLDEST.major}.${OLDEST.minor} or newer; this is ${process.versions.node}\n`,
  );
  process.exitCode = 1;
}

function run(filename: string): void {
  const source = readFileSync(filename);
  // The engine compares no more than the length of the source.
  const kept = path.join(FOLDER, `gateway-${process.version}-${process.arch}-${crc32(source).toString(16)}`);
  const cachedData = readIfThere(kept);
  const script = new vm.Script(Module.wrap(source.toString("latin1")), {
    filename,
    ...(cachedData && { cachedData }),
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  if (cachedData === undefined || script.cachedDataRejected === true) keepIfServed(script, kept);
  const program = new Module(filename);
  program.filename = filename;
  const require = Module.createRequire(filename);
  // The other files use what it exports.
  require.cache[filename] = program;
  const load = script.runInThisContext() as (...parameters: unknown[]) => void;
  load.call(program.exports, program.exports, require, program, filename, import.meta.dirname);
  program.loaded = true;
}

/** @returns `undefined` also when it cannot be read: it is not needed. */
function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}

/**
 * Keeps when the process exits what is compiled by then. Not of one that served nothing, such as `--help` or the process that watches over
 * workers: who serves would compile the rest at each start.
 */
function keepIfServed(script: vm.Script, file: string): void {
  const onServed = (): void => {
    unsubscribe(SERVED, onServed);
    keepAtExit(script, file);
  };
  subscribe(SERVED, onServed);
}

function keepAtExit(script: vm.Script, file: string): void {
  process.on("exit", () => {
    // Several may end at the same time.
    const unfinished = `${file}.${process.pid}`;
    try {
      mkdirSync(FOLDER, { recursive: true });
      writeFileSync(unfinished, script.createCachedData());
      renameSync(unfinished, file);
    } catch {
      // The folder may not be written to: the next start compiles as this one did.
    }
  });
}
