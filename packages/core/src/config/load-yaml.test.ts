import { describe, expect, test } from "vitest";
import { z } from "zod";
import { ConfigError } from "./config-error.ts";
import { loadYamlConfig, parseYamlConfig } from "./load-yaml.ts";

const server = z.union([
  z.string().refine((text) => text.includes(":"), "expected host:port"),
  z.strictObject({ address: z.string(), weight: z.int().min(1).default(1) }),
]);
const schema = z.strictObject({
  name: z.string().min(1).default("x"),
  ratio: z.number().min(0).max(1).optional(),
  mode: z.enum(["fast", "safe"]).optional(),
  verbose: z.boolean().optional(),
  upstreams: z
    .record(
      z.string().regex(/^[a-z.]+$/, "expected lower case"),
      z.strictObject({ servers: z.array(server).min(1), api_key: z.int().optional() }),
    )
    .default({}),
});

function refusal(yaml: string, fileName = "f.yaml"): ConfigError {
  try {
    parseYamlConfig(yaml, schema, fileName);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error(`accepted: ${yaml}`);
}

/** Lines of the message when `yaml` is refused. */
function problems(yaml: string): string[] {
  return refusal(yaml).message.split("\n");
}

test("a valid document gives the schema's value, defaults included", () => {
  const yaml = "---\nupstreams:\n  api:\n    servers: ['a:1', { address: 'b:2' }]\n";
  expect(parseYamlConfig(yaml, schema, "f.yaml")).toEqual({
    name: "x",
    upstreams: { api: { servers: ["a:1", { address: "b:2", weight: 1 }] } },
  });
  for (const empty of ["", "---\n", "# nothing\n", "\uFEFF"]) {
    expect(parseYamlConfig(empty, schema, "f.yaml")).toEqual({ name: "x", upstreams: {} });
  }
});

test("a problem has its parts apart, too", () => {
  const yaml = "upstreams:\n  api:\n    servers:\n      - a:1\n      - address: b:2\n        weight: x\n";
  expect(refusal(yaml, "dir/f.yaml").problems).toEqual([
    {
      file: "dir/f.yaml",
      line: 6,
      column: 17,
      key: "upstreams.api.servers[1].weight",
      message: 'expected a positive integer, got "x"',
    },
  ]);
});

describe("what the schema refuses, with line and key", () => {
  test.each([
    ["name: 5", "f.yaml:1:7: name: expected a string, got 5"],
    ["\nname:\n  - 5", "f.yaml:2:1: name: expected a string, got a list of 1"],
    ["name:", "f.yaml:1:1: name: expected a string, got nothing"],
    ["name: ''", 'f.yaml:1:7: name: expected at least 1 character, got ""'],
    ["verbose: yes", 'f.yaml:1:10: verbose: expected true or false, got "yes"'],
    ["mode: quick", 'f.yaml:1:7: mode: expected one of fast, safe, got "quick"'],
    ["ratio: 2", "f.yaml:1:8: ratio: expected a number from 0 to 1, got 2"],
    ["ratio: .nan", "f.yaml:1:8: ratio: expected a number from 0 to 1, got NaN"],
    ["- 1", "f.yaml:1:1: expected a mapping, got a list of 1"],
    ["just text", 'f.yaml:1:1: expected a mapping, got "just text"'],
    ["upstreams: { a: {} }", "f.yaml:1:14: upstreams.a.servers: missing; expected a list"],
    [
      "upstreams:\n  a:\n    servers: []",
      "f.yaml:3:5: upstreams.a.servers: expected at least 1 entry, got an empty list",
    ],
    [
      "upstreams:\n  a:\n    servers:\n      - 7",
      "f.yaml:4:9: upstreams.a.servers[0]: expected a string or a mapping, got 7",
    ],
    [
      "upstreams:\n  a: { servers: [nowhere] }",
      'f.yaml:2:18: upstreams.a.servers[0]: expected host:port, got "nowhere"',
    ],
    [
      "upstreams:\n  a: { servers: [{ adress: 'b:1', address: 'b:1' }] }",
      "f.yaml:2:20: upstreams.a.servers[0].adress: unknown key; did you mean address?",
    ],
    ["upstreams:\n  A:\n    servers: ['a:1']", 'f.yaml:2:3: upstreams.A: expected lower case, got "A"'],
    ["upstreams:\n  a.b:\n    servers: 1", 'f.yaml:3:14: upstreams["a.b"].servers: expected a list, got 1'],
    ["nmae: x", "f.yaml:1:1: nmae: unknown key; did you mean name?"],
    ["colour: x", "f.yaml:1:1: colour: unknown key; known here: name, ratio, mode, verbose, upstreams"],
    ["<<: x", 'f.yaml:1:1: ["<<"]: unknown key; known here: name, ratio, mode, verbose, upstreams'],
  ])("%j", (yaml, line) => {
    expect(problems(yaml)).toEqual([line]);
  });

  test("all of them at once, in the order of the file", () => {
    expect(
      problems("zzz: 1\nname: 5\nupstreams:\n  a:\n    server: x\n  b: 1\nqqq: 1\n").map((line) => line.slice(0, 40)),
    ).toEqual([
      "f.yaml:1:1: zzz: unknown key; known here",
      "f.yaml:2:7: name: expected a string, got",
      "f.yaml:4:3: upstreams.a.servers: missing",
      "f.yaml:5:5: upstreams.a.server: unknown ",
      "f.yaml:6:6: upstreams.b: expected a mapp",
      "f.yaml:7:1: qqq: unknown key; known here",
    ]);
  });

  test("behind an alias, the anchored value's line", () => {
    const yaml = "upstreams:\n  a: &a\n    servers: 5\n  b: *a\n";
    expect(problems(yaml)).toEqual([
      "f.yaml:3:14: upstreams.a.servers: expected a list, got 5",
      "f.yaml:3:14: upstreams.b.servers: expected a list, got 5",
    ]);
  });
});

describe("what is no YAML, with its line", () => {
  test.each([
    [
      "name: 'x",
      "f.yaml:1:9: a character is missing here, such as a closing quote or bracket, or a comma, a colon or a space",
    ],
    ["name: x\nname: y", "f.yaml:2:1: name: this key is already set above, in the same mapping"],
    [
      "upstreams:\n  a:\n    servers:\n      - address: 'a:1'\n        address: 'b:1'",
      "f.yaml:5:9: upstreams.a.servers[0].address: this key is already set above, in the same mapping",
    ],
    ["name: x\n\tratio: 1", "f.yaml:2:1: a tab cannot indent; use spaces"],
    ["name: *nowhere", "f.yaml:1:7: no anchor of this name stands above"],
    ["name: a\n---\nname: b", "f.yaml:2:1: a second document begins here; expected one document a file"],
    ["name: !env HOME", "f.yaml:1:7: a value does not fit its tag, or the tag is not known"],
  ])("%j", (yaml, line) => {
    expect(problems(yaml)[0]).toBe(line);
  });

  test("aliases that grow without measure", () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i}, `.repeat(9)}*l${i}]`);
    expect(problems(`l0: &l0 x\n${levels.join("\n")}`)).toEqual([
      "f.yaml:1:1: its aliases repeat more than a configuration needs",
    ]);
  });
});

describe("secrets stay out of messages", () => {
  test.each([
    "upstreams: { a: { servers: ['a:1'], api_key: hunter2 } }",
    "upstreams: { a: { servers: ['a:1'], api_key: [hunter2, hunter2] } }",
    "password: hunter2\nname: 'unclosed hunter2",
    "password: hunter2\n hunter2: [",
    "password: hunter2\n}hunter2",
    "password: hunter2",
    'password: "\\qhunter2"',
    "password: !hunter2 x\npassword: !hunter2 y",
    "password: *hunter2",
    "%hunter2\n---\npassword: @hunter2",
  ])("%j", (yaml) => {
    const lines = problems(yaml);
    expect(lines).not.toEqual([]);
    expect(lines.join("\n")).not.toContain("hunter2");
  });

  test("the message says that a value was left out", () => {
    expect(problems("upstreams: { a: { servers: ['a:1'], api_key: hunter2 } }")).toEqual([
      "f.yaml:1:46: upstreams.a.api_key: expected an integer, got another value (not shown)",
    ]);
  });
});

test("a long value is shortened, and one with line ends stays on one line", () => {
  expect(problems(`ratio: ${"y".repeat(500)}`)[0]).toHaveLength(
    `f.yaml:1:8: ratio: expected a number from 0 to 1, got ""…`.length + 60,
  );
  expect(problems('ratio: "a\\nb"')).toEqual(['f.yaml:1:8: ratio: expected a number from 0 to 1, got "a\\nb"']);
});

test("a file that cannot be read is a problem with its name", () => {
  expect(() => loadYamlConfig("/nowhere/f.yaml", schema)).toThrow("/nowhere/f.yaml: cannot read: no such file");
  expect(() => loadYamlConfig("/", schema)).toThrow(/^\/: cannot read: EISDIR/);
});
