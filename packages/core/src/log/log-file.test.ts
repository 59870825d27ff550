import { execFileSync, spawnSync } from "node:child_process";
import {
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
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
import { LogFile } from "./log-file.ts";
import { reopenLogFiles } from "./log-sinks.ts";
import { configureLogs } from "./logger.ts";

let folder: string;
let file: string;
let told: Record<string, unknown>[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sluice-log-file-"));
  file = path.join(folder, "access.log");
  told = [];
  const write = (line: string): void => void told.push(JSON.parse(line) as Record<string, unknown>);
  configureLogs({ levels: "info", destination: { write } });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const content = (name = file): string => readFileSync(name, "utf8");
const messages = (): unknown[] => told.map(({ msg }) => msg);

test("lines arrive in their order, those that waited when it was closed included", async () => {
  const log = new LogFile(file, { bufferBytes: 100 });
  const lines = Array.from({ length: 5000 }, (_, n) => `line ${n} äöü\n`);
  for (const line of lines) log.write(line);
  await log.flush();
  expect(content()).toBe(lines.join(""));
  log.write("last\n");
  log.close();
  await expect.poll(() => content()).toBe(`${lines.join("")}last\n`);
  expect(() => log.write("more\n")).toThrow(/closed/);
});

test("a few lines are not waited for longer than was said", async () => {
  const log = new LogFile(file, { flushMs: 10 });
  log.write("one\n");
  expect(content()).toBe("");
  await expect.poll(() => content()).toBe("one\n");
  log.close();
});

test("a file that cannot be opened is an error where it is given", () => {
  expect(() => new LogFile(path.join(folder, "none", "a.log"))).toThrow(/ENOENT/);
});

describe("opened again", () => {
  test("each line is in one of the files, once and whole, however often", async () => {
    const log = new LogFile(file, { bufferBytes: 50 });
    const lines: string[] = [];
    for (let round = 0; round < 20; round++) {
      for (let n = 0; n < 100; n++) lines.push(`${round} ${n}\n`);
      for (const line of lines.slice(-100)) log.write(line);
      renameSync(file, `${file}.${round}`);
      // More often than it can be done.
      for (let times = 0; times < 3; times++) reopenLogFiles();
      await expect.poll(() => readdirSync(folder)).toContain("access.log");
    }
    await log.flush();
    log.close();
    const all = [...Array.from({ length: 20 }, (_, round) => content(`${file}.${round}`)), content()].join("");
    expect(all.split("\n").toSorted()).toEqual([...lines.map((line) => line.trim()), ""].toSorted());
  });

  test("a name that cannot be: it is told, and the file that was open is written to", async () => {
    const log = new LogFile(file);
    renameSync(folder, `${folder}-moved`);
    reopenLogFiles();
    await expect.poll(messages).toEqual(["a log file cannot be opened again; goes on with the one it had"]);
    log.write("one\n");
    await log.flush();
    renameSync(`${folder}-moved`, folder);
    expect(content()).toBe("one\n");
    log.close();
  });
});

// `/dev/full` is a disk that is full.
describe.runIf(process.platform === "linux")("a full disk", () => {
  test("is told once; lines wait, those beyond the bound are dropped, and what is lost is told", async () => {
    const disk = path.join(folder, "disk");
    symlinkSync("/dev/full", disk);
    const log = new LogFile(disk, { bufferBytes: 0, maxBytes: 100 });
    await expect(writeNow(log, "one\n")).rejects.toThrow(/ENOSPC/);
    for (let n = 0; n < 50; n++) log.write("0123456789\n");
    await expect(log.flush()).rejects.toThrow(/ENOSPC/);
    expect(messages()).toEqual(["a log file cannot be written"]);
    // There is room again.
    unlinkSync(disk);
    reopenLogFiles();
    await expect.poll(messages, { timeout: 10_000 }).toContain("a log file can be written again");
    await log.flush();
    expect(content(disk)).toBe(`one\n${"0123456789\n".repeat(8)}`);
    expect(told.at(-1)).toMatchObject({ dropped: 42 });
    log.close();
  });

  test("when it is closed: it is tried, and told", async () => {
    const log = new LogFile("/dev/full");
    log.write("one\n");
    log.close();
    await expect.poll(messages).toContain("the last lines of a log file could not be written");
    expect(told.at(-1)).toMatchObject({ bytes: 4 });
  });

  test("when the process ends: it ends, and tells what is lost", () => {
    const { stderr, status } = run("/dev/full");
    expect(status).toBe(0);
    expect(stderr).toContain("the last lines of a log file could not be written");
  });
});

test("what waits when the process ends is written", () => {
  expect(run(file)).toEqual({ stderr: "", status: 0 });
  expect(content()).toBe("one\ntwo\n");
});

describe.runIf(process.platform === "linux")("a pipe", () => {
  test("that nobody reads is an error", () => {
    execFileSync("mkfifo", [file]);
    expect(() => new LogFile(file)).toThrow(/ENXIO/);
  });

  test("that is full is waited for, and nothing is lost", async () => {
    execFileSync("mkfifo", [file]);
    const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const log = new LogFile(file, { bufferBytes: 0 });
    const line = `${"x".repeat(999)}\n`;
    for (let n = 0; n < 200; n++) log.write(line);
    const flushed = log.flush();
    let read = 0;
    const buffer = Buffer.alloc(65_536);
    await expect
      .poll(() => {
        try {
          for (let bytes = 1; bytes > 0; read += bytes) bytes = readSync(reader, buffer);
        } catch {
          // It is empty for now.
        }
        return read;
      })
      .toBe(200_000);
    await flushed;
    expect(told).toEqual([]);
    log.close();
  });
});

function writeNow(log: LogFile, line: string): Promise<void> {
  log.write(line);
  return log.flush();
}

/** A process that writes two lines and ends. */
function run(target: string): { stderr: string; status: number | null } {
  const module = new URL("log-file.ts", import.meta.url).href;
  const program = `import { LogFile } from ${JSON.stringify(module)};
    const log = new LogFile(${JSON.stringify(target)});
    log.write("one\\n"); log.write("two\\n");`;
  const { NODE_OPTIONS: _, ...env } = process.env;
  const options = { encoding: "utf8", env, timeout: 30_000, killSignal: "SIGKILL" } as const;
  const { stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", program], options);
  return { stderr, status };
}
