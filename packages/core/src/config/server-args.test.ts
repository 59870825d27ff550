import { describe, expect, test } from "vitest";
import { parseServerArgs, SERVER_ARGS_HELP, UsageError } from "./server-args.ts";

const NONE = { conf: undefined, daemon: false, upgrade: false, test: false, help: false };

test.each([
  [[], NONE],
  [["-c", "a.yaml"], { ...NONE, conf: "a.yaml" }],
  [["--conf=a.yaml"], { ...NONE, conf: "a.yaml" }],
  [["-d"], { ...NONE, daemon: true }],
  [["-ud", "-c", "a"], { ...NONE, conf: "a", daemon: true, upgrade: true }],
  [["--daemon", "--upgrade", "--test", "--help"], { ...NONE, daemon: true, upgrade: true, test: true, help: true }],
])("%j", (args, expected) => {
  expect(parseServerArgs(args)).toEqual(expected);
});

describe("what is not understood is named", () => {
  test.each([
    [["--nocapture"], "Unknown option '--nocapture'"],
    [["-x"], "Unknown option '-x'"],
    [["file.yaml"], "Unexpected argument 'file.yaml'"],
    [["-c"], "Option '-c, --conf <value>' argument missing"],
    [["--conf="], "--conf: expected the name of a file"],
    [["--daemon=no"], "Option '-d, --daemon' does not take an argument"],
  ])("%j", (args, message) => {
    expect(() => parseServerArgs(args)).toThrow(UsageError);
    expect(() => parseServerArgs(args)).toThrow(message);
  });
});

test("the help names every option", () => {
  for (const name of Object.keys(NONE)) expect(SERVER_ARGS_HELP).toContain(`--${name}`);
});
