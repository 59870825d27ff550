import { readFileSync } from "node:fs";
import { parseYamlConfig } from "@sluice/core";
import { serverConfShape } from "@sluice/core";
import { describe, expect, test } from "vitest";
import { gatewayConfSchema, type GatewayConf } from "./gateway-conf.ts";

function parse(yaml: string): GatewayConf {
  return parseYamlConfig(yaml, gatewayConfSchema, "g.yaml");
}

const VALID = `version: 1
listeners:
  - address: 127.0.0.1:6188
upstreams:
  api:
    health_check: { type: tcp }
    servers:
      - 127.0.0.1:9101
      - address: 127.0.0.1:9102
        weight: 2
routes:
  - host: Example.org
    path_prefix: /api/
    upstream: api
  - upstream: api
`;

/** `VALID` with a piece exchanged. */
function broken(from: string, to: string): string {
  if (!VALID.includes(from)) throw new Error(`not in VALID: ${from}`);
  return VALID.replace(from, to);
}

test("a valid file, with its defaults and in one spelling", () => {
  expect(parse(VALID)).toMatchObject({
    max_retries: 3,
    listeners: [{ address: "127.0.0.1:6188" }],
    upstreams: {
      api: {
        selection: "round_robin",
        health_check: { type: "tcp", interval_ms: 1000, connect_ms: 1000 },
        servers: [
          { address: "127.0.0.1:9101", weight: 1 },
          { address: "127.0.0.1:9102", weight: 2 },
        ],
      },
    },
    routes: [
      { host: "example.org", path_prefix: "/api", upstream: "api" },
      { path_prefix: "/", upstream: "api" },
    ],
  });
});

test("listeners on Unix sockets, IPv6 and more than one port of the system's choice", () => {
  const yaml = broken(
    "  - address: 127.0.0.1:6188",
    '  - address: unix:/run/g.sock\n  - address: "[::1]:0"\n  - address: "[::1]:0"',
  );
  expect(parse(yaml).listeners).toHaveLength(3);
});

describe("a problem names file, line and key", () => {
  test.each<[string, string, string]>([
    ["  - address: 127.0.0.1:6188", "  []", "g.yaml:2:1: listeners: expected at least 1 entry, got an empty list"],
    ["127.0.0.1:6188", "6188", "g.yaml:3:14: listeners[0].address: expected a string, got 6188"],
    [
      "127.0.0.1:6188",
      "localhost",
      'g.yaml:3:14: listeners[0].address: expected host:port, [IPv6]:port or unix:/path, got "localhost"',
    ],
    [
      "- address: 127.0.0.1:6188",
      "- address: 127.0.0.1:6188\n  - address: 127.0.0.1:6188",
      "g.yaml:4:14: listeners[1].address: 127.0.0.1:6188 is already the address of listeners[0]",
    ],
    ["- address: 127", "- adress: 127", "g.yaml:3:5: listeners[0].address: missing; expected a string"],
    ["- address: 127", "- adress: 127", "g.yaml:3:5: listeners[0].adress: unknown key; did you mean address?"],
    ["version: 1", "version: 1\nmax_retry: 1", "g.yaml:2:1: max_retry: unknown key; did you mean max_retries?"],
    ["version: 1", "colour: 4", "g.yaml:1:1: colour: unknown key; known here: version, threads, "],
    [
      "weight: 2",
      "weight: x",
      'g.yaml:10:17: upstreams.api.servers[1].weight: expected an integer from 1 to 1000, got "x"',
    ],
    ["weight: 2", "wieght: 2", "g.yaml:10:9: upstreams.api.servers[1].wieght: unknown key; did you mean weight?"],
    [
      "127.0.0.1:9101",
      "127.0.0.1:0",
      "g.yaml:8:9: upstreams.api.servers[0]: expected host:port with a port from 1 to 65535",
    ],
    ["127.0.0.1:9101", "true", "g.yaml:8:9: upstreams.api.servers[0]: expected a string or a mapping, got true"],
    ["type: tcp", "type: http", 'g.yaml:6:27: upstreams.api.health_check.type: expected tcp, got "http"'],
    [
      "{ type: tcp }",
      "{ type: tcp, interval_ms: 0 }",
      "health_check.interval_ms: expected an integer from 1 to 2147483647, got 0",
    ],
    ["  api:\n", "  api:\n    selection: fastest\n", 'upstreams.api.selection: expected round_robin, got "fastest"'],
    [
      "  api:\n",
      "  a b: { servers: [h:1] }\n  api:\n",
      'g.yaml:5:3: upstreams["a b"]: expected a name of letters, digits, _, . and -, got "a b"',
    ],
    [
      "  api:\n",
      "  empty: { servers: [] }\n  api:\n",
      "g.yaml:5:12: upstreams.empty.servers: expected at least one server, got an empty list",
    ],
    ["  api:\n", "  empty: {}\n  api:\n", "g.yaml:5:3: upstreams.empty.servers: missing; expected a list"],
    [
      "Example.org",
      "http://x",
      'g.yaml:12:11: routes[0].host: expected a host name, *.name or an IP address (IPv6 in brackets), without a port, got "http://x"',
    ],
    ["Example.org", "a.*.org", "g.yaml:12:11: routes[0].host: expected a host name"],
    ["Example.org", "example.org:80", "g.yaml:12:11: routes[0].host: expected a host name"],
    ["/api/", "api", "g.yaml:13:18: routes[0].path_prefix: expected a path that begins with /"],
    ["/api/", "/api?x", "g.yaml:13:18: routes[0].path_prefix: expected a path that begins with /"],
    [
      "  - upstream: api",
      "  - upstream: apii",
      'g.yaml:15:15: routes[1].upstream: no upstream is named "apii"; defined are api',
    ],
    [
      "  - upstream: api",
      "  - upstream: constructor",
      'g.yaml:15:15: routes[1].upstream: no upstream is named "constructor"; defined are api',
    ],
    ["  - upstream: api", "  - path_prefix: /", "g.yaml:15:5: routes[1].upstream: missing; expected a string"],
    [
      "  - upstream: api",
      "  - { host: EXAMPLE.org, path_prefix: /api, upstream: api }",
      "g.yaml:15:5: routes[1]: has the same host and path_prefix as routes[0]",
    ],
  ])("%j -> %j", (from, to, line) => {
    expect(() => parse(broken(from, to))).toThrow(line);
  });

  test("an empty file lacks everything", () => {
    expect(() => parse("")).toThrow(
      [
        "g.yaml:1:1: listeners: missing; expected a list",
        "g.yaml:1:1: upstreams: missing; expected a mapping",
        "g.yaml:1:1: routes: missing; expected a list",
      ].join("\n"),
    );
  });
});

test("the demo's file is valid", () => {
  expect(parse(readFileSync(new URL("demo.yaml", import.meta.url), "utf8")).listeners).toEqual([
    { address: "127.0.0.1:6188" },
    { address: "127.0.0.1:6189", tls: { certificates: [{ cert: "cert.pem", key: "key.pem" }], http2: true } },
  ]);
});

describe("README.md", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const blocks = [...readme.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1]!);

  test("its YAML is valid", () => {
    expect(blocks).not.toEqual([]);
    for (const yaml of blocks) expect(() => parse(yaml)).not.toThrow();
  });

  test("its YAML shows every key that is not one of all servers", () => {
    const { upstreams } = parse(blocks.join("\n"));
    const own = Object.keys(gatewayConfSchema.shape).filter((key) => !Object.hasOwn(serverConfShape, key));
    expect(own.length).toBeGreaterThan(3);
    for (const key of own) expect(blocks.join("\n")).toContain(`${key}:`);
    expect(upstreams).toBeDefined();
  });
});
