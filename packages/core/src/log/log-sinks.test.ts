import { execFileSync } from "node:child_process";
import {
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { StandardLog } from "./log-sinks.ts";
import { configureLogs, logger } from "./logger.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sluice-log-"));
  file = path.join(folder, "error.log");
});
afterEach(() => {
  configureLogs();
  rmSync(folder, { recursive: true, force: true });
});

/** A log that all lines go to. */
function logTo(target: string | number): StandardLog {
  const log = new StandardLog(typeof target === "number" ? target : undefined);
  if (typeof target === "string") log.toFile(target);
  configureLogs({ levels: "info", destination: log });
  return log;
}

const entries = (text: string): object[] =>
  text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as object);

test("a file that cannot be opened again: it is told, and the one that was open is written to", () => {
  const log = logTo(file);
  renameSync(folder, `${folder}-moved`);
  log.reopen();
  logger("life").info({}, "goes on");
  renameSync(`${folder}-moved`, folder);
  expect(entries(readFileSync(file, "utf8"))).toMatchObject([
    { level: 50, msg: "the log cannot be opened again; goes on with the file it had", err: { code: "ENOENT" } },
    { msg: "goes on" },
  ]);
});

describe.runIf(process.platform === "linux")("lines that cannot be written", () => {
  test("on a full disk are counted, and that is told when there is room", () => {
    symlinkSync("/dev/full", file);
    const log = logTo(file);
    for (let n = 0; n < 100; n++) logger("life").info({ n }, "lost");
    unlinkSync(file);
    log.reopen();
    logger("life").info({}, "first");
    logger("life").info({}, "second");
    expect(entries(readFileSync(file, "utf8"))).toMatchObject([
      { msg: "first" },
      { level: 50, lost: 100, msg: "log lines could not be written, and are lost" },
      { msg: "second" },
    ]);
  });

  test("to a pipe that nobody reads are given up; what had begun does not run into the next", () => {
    execFileSync("mkfifo", [file]);
    const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    logTo(openSync(file, constants.O_WRONLY | constants.O_NONBLOCK));
    logger("life").info({ text: "x".repeat(200_000) }, "too much");
    logger("life").info({}, "lost as well");
    expect(readAll(reader)).toMatch(/^\{"level":30.*x$/);
    logger("life").info({}, "first");
    expect(entries(readAll(reader))).toMatchObject([{ msg: "first" }, { lost: 2 }]);
  });
});

function readAll(fd: number): string {
  const buffer = Buffer.alloc(1_000_000);
  return buffer.toString("utf8", 0, readSync(fd, buffer));
}
