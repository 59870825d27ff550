import { expect, test } from "vitest";
import { parseCommandLine } from "./command-line.ts";

const SERVE = { kind: "serve", conf: "g.yaml", daemon: false, upgrade: false };

test.each([
  [["-c", "g.yaml"], { ...SERVE, testOnly: false }],
  [["--conf=g.yaml", "-t"], { ...SERVE, testOnly: true }],
  [["-duc", "g.yaml"], { ...SERVE, testOnly: false, daemon: true, upgrade: true }],
  [["--demo"], { kind: "demo", testOnly: false }],
  [["--demo", "--test"], { kind: "demo", testOnly: true }],
  [["--help", "--demo"], { kind: "help" }],
  [["-h"], { kind: "help" }],
])("%j", (args, command) => {
  expect(parseCommandLine(args)).toEqual(command);
});

test.each([
  [[], "expected --conf FILE or --demo"],
  [["-t"], "expected --conf FILE or --demo"],
  [["-c", ""], "expected --conf FILE or --demo"],
  [["--daemons"], "Unknown option '--daemons'"],
  [["--demo", "-d"], "--demo runs in the foreground"],
  [["-x"], "Unknown option '-x'"],
  [["-c"], "Option '-c, --conf <value>' argument missing"],
  [["-c", "-t"], "Option '-c' argument is ambiguous"],
  [["--demo=yes"], "Option '--demo' does not take an argument"],
  [["g.yaml"], "Unexpected argument 'g.yaml'"],
  [["--demo", "-c", "g.yaml"], "--demo has its own configuration; leave out --conf"],
])("%j is refused in one line", (args, message) => {
  expect(parseCommandLine(args)).toEqual({ kind: "usage-error", message });
});
