import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkLogFile } from "./check-log-file.ts";

const IS_ROOT = process.geteuid?.() === 0;

let folder: string;
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), "sluice-check-log-"))));
afterAll(() => rmSync(folder, { recursive: true }));

test("one that is there, and it stays as it is", () => {
  const file = path.join(folder, "there.log");
  writeFileSync(file, "a line\n");
  checkLogFile(file);
  expect(readFileSync(file, "utf8")).toBe("a line\n");
});

test("one that can be created, and it is not", () => {
  const file = path.join(folder, "new.log");
  checkLogFile(file);
  expect(existsSync(file)).toBe(false);
});

test("what is no file", () => {
  checkLogFile("/dev/null");
  expect(() => checkLogFile(folder)).toThrow("it is a directory");
});

test("a folder that is not there", () => {
  expect(() => checkLogFile(path.join(folder, "none", "a.log"))).toThrow(/ENOENT/);
});

test.skipIf(IS_ROOT)("what may not be written", () => {
  const file = path.join(folder, "read-only.log");
  writeFileSync(file, "", { mode: 0o400 });
  expect(() => checkLogFile(file)).toThrow(/EACCES/);
  const closed = path.join(folder, "closed");
  mkdirSync(closed);
  chmodSync(closed, 0o500);
  expect(() => checkLogFile(path.join(closed, "a.log"))).toThrow(/EACCES/);
});
