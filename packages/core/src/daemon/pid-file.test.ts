import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PidFile } from "./pid-file.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sluice-pid-"));
  file = path.join(folder, "server.pid");
});
afterEach(() => rmSync(folder, { recursive: true }));

test("has the number of this process, and is gone afterwards", () => {
  const pidFile = new PidFile(file);
  pidFile.write();
  expect(readFileSync(file, "utf8")).toBe(`${process.pid}\n`);
  pidFile.remove();
  expect(existsSync(file)).toBe(false);
});

test("that of another process stays, and is not written over", () => {
  writeFileSync(file, "4242\n");
  expect(() => new PidFile(file).write()).toThrow(`pid_file: cannot write ${file}`);
  new PidFile(file).remove();
  expect(readFileSync(file, "utf8")).toBe("4242\n");
});

test("one that was put aside by the next server is removed under its other name", () => {
  const pidFile = new PidFile(file);
  pidFile.write();
  expect(new PidFile(file).putAside()).toBe(true);
  pidFile.remove();
  expect(existsSync(`${file}.old`)).toBe(false);
  new PidFile(file).restore();
  expect(existsSync(file)).toBe(false);
});

test.each([
  ["another text", () => writeFileSync(file, "4242 lines of somebody's\n")],
  ["a large file", () => writeFileSync(file, "4".repeat(100))],
  ["a folder", () => mkdirSync(file)],
])("%s is no pid file, and stays where it is", (_what, make) => {
  make();
  expect(() => new PidFile(file).putAside()).toThrow(`pid_file: cannot rename ${file}`);
  expect(existsSync(file)).toBe(true);
});

test("one that a full disk had left empty, and a link, are put aside", () => {
  const pidFile = new PidFile(file);
  writeFileSync(file, "");
  expect(pidFile.putAside()).toBe(true);
  symlinkSync(path.join(folder, "nothing"), file);
  expect(pidFile.putAside()).toBe(true);
  expect(existsSync(file)).toBe(false);
});

test.skipIf(process.platform === "win32")(
  "one that cannot be written leaves nothing, so the one before can come back",
  () => {
    writeFileSync(`${file}.old`, "4242\n");
    const module = JSON.stringify(new URL("pid-file.ts", import.meta.url).href);
    const program = `
    import { PidFile } from ${module};
    const file = new PidFile(${JSON.stringify(file)});
    try { file.write(); } catch (error) { console.log(error.message); }
    file.restore();`;
    const { NODE_OPTIONS: _, ...env } = process.env;
    // No byte fits into a file, as on a disk that is full.
    const shell = ["-c", 'ulimit -f 0 && exec "$0" --input-type=module -e "$1"', process.execPath, program];
    const { stdout } = spawnSync("sh", shell, { encoding: "utf8", env });
    expect(stdout).toContain(`pid_file: cannot write ${file}`);
    expect(readFileSync(file, "utf8")).toBe("4242\n");
  },
);
