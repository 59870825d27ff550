import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { configureLogs } from "../log/logger.ts";
import { serverConfJsonSchema } from "./json-schema.ts";
import {
  completeServerConf,
  defaultServerConf,
  keysWithoutEffect,
  parseServerConf,
  type ServerConf,
} from "./server-conf.ts";

afterEach(() => configureLogs());

test("the minimal document, and an empty one, give the defaults", () => {
  for (const yaml of ["---\nversion: 1\n", ""]) {
    expect(parseServerConf(yaml, "s.yaml")).toEqual({ ...defaultServerConf(), extensions: {} });
  }
});

/** A value other than the default for each key, as YAML and as read. */
const OTHER: Readonly<Record<Exclude<keyof ServerConf, "version">, readonly [yaml: string, read: unknown]>> = {
  threads: ["4", 4],
  watchdog_seconds: ["0", 0],
  grace_period_seconds: ["0", 0],
  graceful_shutdown_timeout_seconds: ["7", 7],
  daemon: ["true", true],
  pid_file: ["run/a.pid", "run/a.pid"],
  error_log: ["/var/log/a", "/var/log/a"],
  working_directory: ["/srv", "/srv"],
  daemon_wait_for_ready: ["true", true],
  daemon_ready_timeout_seconds: ["1", 1],
  daemon_notify_timeout_seconds: ["1", 1],
  user: ["www-data", "www-data"],
  group: ["33", "33"],
  upgrade_sock: ["/run/up", "/run/up"],
  upgrade_sock_connect_accept_max_retries: ["0", 0],
  ca_file: ["ca.pem", "ca.pem"],
  upstream_keepalive_pool_size: ["4", 4],
  upstream_debug_ssl_keylog: ["true", true],
  max_retries: ["1", 1],
  client_bind_to_ipv4: ["[1.2.3.4, 5.6.7.8]", ["1.2.3.4", "5.6.7.8"]],
  client_bind_to_ipv6: ["['::1']", ["::1"]],
  max_blocking_threads: ["64", 64],
  blocking_threads_ttl_seconds: ["30", 30],
  listener_tasks_per_fd: ["2", 2],
  work_stealing: ["false", false],
  s2n_config_cache_size: ["0", 0],
  upstream_connect_offload_threadpools: ["1", 1],
  upstream_connect_offload_thread_per_pool: ["1", 1],
};

test.each(Object.entries(OTHER))("%s is read, and changes nothing else", (key, [yaml, read]) => {
  const expected = { ...defaultServerConf(), [key]: read, extensions: {} };
  expect(parseServerConf(`${key}: ${yaml}\n`, "s.yaml")).toEqual(expected);
  expect(completeServerConf({ [key]: read })).toEqual({ ...defaultServerConf(), [key]: read });
});

test("each key has a description, and a default or none", () => {
  const { properties } = serverConfJsonSchema() as {
    properties: Record<string, { description?: string; default?: unknown }>;
  };
  expect(Object.keys(properties).toSorted()).toEqual([...Object.keys(OTHER), "version"].toSorted());
  const defaults = defaultServerConf();
  for (const [key, { description, default: value }] of Object.entries(properties)) {
    expect(description, key).toMatch(/\.$/);
    expect(value, key).toEqual(defaults[key as keyof ServerConf]);
  }
});

test("what was made for Pingora and does nothing here is known by name", () => {
  const conf = completeServerConf({ work_stealing: false, blocking_threads_ttl_seconds: 10, threads: 2 });
  expect(keysWithoutEffect(conf)).toEqual(["blocking_threads_ttl_seconds", "work_stealing"]);
  expect(keysWithoutEffect(defaultServerConf())).toEqual([]);
});

test("a configuration made in code is checked, too", () => {
  expect(() => completeServerConf({ threads: 0, max_retries: Number.NaN })).toThrow(
    "configuration: threads: expected an integer from 1 to 1024\nconfiguration: max_retries: expected a positive integer",
  );
  expect(completeServerConf({ colour: "blue" } as object)).toEqual(defaultServerConf());
});

describe("values that cannot work are refused", () => {
  test.each([
    ["version: 2", "s.yaml:1:10: version: expected 1, got 2"],
    ["threads: 0", "s.yaml:1:10: threads: expected an integer from 1 to 1024, got 0"],
    ["daemon: 1", "s.yaml:1:9: daemon: expected true or false, got 1"],
    ["user: -x", 's.yaml:1:7: user: expected the name or number of an account, got "-x"'],
    ["pid_file: ''", 's.yaml:1:11: pid_file: expected at least 1 character, got ""'],
    ["max_blocking_threads: 0", "s.yaml:1:23: max_blocking_threads: expected an integer from 1 to 1024, got 0"],
    [
      "daemon_ready_timeout_seconds: 0",
      "s.yaml:1:31: daemon_ready_timeout_seconds: expected an integer from 1 to 2147483, got 0",
    ],
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

test("what is wrong for two reasons is told once", () => {
  const text = "grace_period_seconds: 99999999999999999999\n";
  expect(() => parseServerConf(text, "a.yaml")).toThrow(
    /^a\.yaml:1:23: grace_period_seconds: expected an integer from 0 to 2147483, got 100000000000000000000$/,
  );
});

describe("keys that are not ours", () => {
  const lines: string[] = [];
  beforeEach(() => {
    lines.length = 0;
    configureLogs({ levels: "core=debug", destination: { write: (line) => void lines.push(line) } });
  });
  const told = (): unknown[] => lines.map((line) => JSON.parse(line) as unknown);

  test("are kept, and named without their values: those nearly ours in a warning", () => {
    const conf = parseServerConf("max_retrys: 5\nmy_app: { token: hunter2 }\n", "s.yaml");
    expect(conf.extensions).toEqual({ max_retrys: 5, my_app: { token: "hunter2" } });
    expect(told()).toEqual([
      expect.objectContaining({ level: 40, file: "s.yaml", keys: ["max_retrys (did you mean max_retries?)"] }),
      expect.objectContaining({ level: 20, file: "s.yaml", keys: ["my_app"] }),
    ]);
    expect(lines.join("")).not.toContain("hunter2");
  });

  test("are told in the same way when they come from code, and those of a file not twice", () => {
    completeServerConf({ gracePeriodSeconds: 1, threds: 2, my_app: {} } as object);
    expect(told()).toEqual([
      expect.objectContaining({
        level: 40,
        keys: ["gracePeriodSeconds (did you mean grace_period_seconds?)", "threds (did you mean threads?)"],
      }),
      expect.objectContaining({ level: 20, keys: ["my_app"] }),
    ]);
    lines.length = 0;
    completeServerConf({ ...defaultServerConf(), extensions: { max_retrys: 5 } } as object);
    expect(told()).toEqual([]);
  });
});
