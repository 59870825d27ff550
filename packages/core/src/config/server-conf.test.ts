import { afterEach, describe, expect, test } from "vitest";
import { configureLogs } from "../log/logger.ts";
import { defaultServerConf, parseServerConf } from "./server-conf.ts";

afterEach(() => configureLogs());

test("the minimal document, and an empty one, give the defaults", () => {
  for (const yaml of ["---\nversion: 1\n", ""]) {
    expect(parseServerConf(yaml, "s.yaml")).toEqual({ ...defaultServerConf(), extensions: {} });
  }
});

test("every key is read", () => {
  const yaml = `
version: 1
grace_period_seconds: 0
graceful_shutdown_timeout_seconds: 7
upstream_keepalive_pool_size: 4
max_retries: 1
client_bind_to_ipv4: [1.2.3.4, 5.6.7.8]
client_bind_to_ipv6: []
`;
  expect(parseServerConf(yaml, "s.yaml")).toEqual({
    version: 1,
    grace_period_seconds: 0,
    graceful_shutdown_timeout_seconds: 7,
    upstream_keepalive_pool_size: 4,
    max_retries: 1,
    client_bind_to_ipv4: ["1.2.3.4", "5.6.7.8"],
    client_bind_to_ipv6: [],
    extensions: {},
  });
});

describe("values that cannot work are refused", () => {
  test.each([
    ["version: 2", "s.yaml:1:10: version: expected 1, got 2"],
    ["max_retries: 0", "s.yaml:1:14: max_retries: expected a positive integer, got 0"],
    ["max_retries: 1.5", "s.yaml:1:14: max_retries: expected a positive integer, got 1.5"],
    [
      "upstream_keepalive_pool_size: -1",
      "s.yaml:1:31: upstream_keepalive_pool_size: expected an integer from 0 to 1000000, got -1",
    ],
    [
      "grace_period_seconds: 3000000",
      "s.yaml:1:23: grace_period_seconds: expected an integer from 0 to 2147483, got 3000000",
    ],
    ["client_bind_to_ipv4: ['::1']", 's.yaml:1:23: client_bind_to_ipv4[0]: expected an IPv4 address, got "::1"'],
    [
      "client_bind_to_ipv6: [127.0.0.1]",
      's.yaml:1:23: client_bind_to_ipv6[0]: expected an IPv6 address, got "127.0.0.1"',
    ],
  ])("%s", (yaml, message) => {
    expect(() => parseServerConf(yaml, "s.yaml")).toThrow(message);
  });
});

test("keys that are not ours are kept, and named in one debug line without their values", () => {
  const lines: string[] = [];
  configureLogs({ levels: "core=debug", destination: { write: (line) => void lines.push(line) } });
  const conf = parseServerConf("max_retrys: 5\nmy_app: { token: hunter2 }\n", "s.yaml");
  expect(conf.extensions).toEqual({ max_retrys: 5, my_app: { token: "hunter2" } });
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0]!)).toMatchObject({
    file: "s.yaml",
    keys: ["max_retrys (did you mean max_retries?)", "my_app"],
  });
  expect(lines[0]).not.toContain("hunter2");
});
