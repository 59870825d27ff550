import { expect, test } from "vitest";
import { parseH2load } from "./h2load.ts";

const QUIET = `starting benchmark...
Application protocol: h2c

finished in 2.01s, 25695.50 req/s, 1.96MB/s
requests: 51391 total, 51455 started, 51391 done, 51391 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 51391 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 3.92MB (4111672) total, 2.40MB (2518159) headers (space savings 50.51%), 652.42KB (668083) data
                     min         max         mean         sd        +/- sd
time for request:       73us    103.12ms      2.35ms      5.43ms    97.62%
`;

const TROUBLED = `finished in 500.00ms, 20.00 req/s, 1.00KB/s
requests: 20 total, 30 started, 20 done, 10 succeeded, 7 failed, 2 errored, 1 timeout
status codes: 10 2xx, 0 3xx, 3 4xx, 1 5xx
traffic: 1.00KB (1024) total, 120B (120) headers (space savings 0.00%), 130B (130) data
`;

/** A line of `--log-file` for each latency. */
function log(latenciesUs: readonly number[]): string {
  return latenciesUs.map((latency) => `1795777808134961\t200\t${latency}\n`).join("");
}

test("reads a run without trouble, and the latency from the log", () => {
  const latenciesUs = Array.from({ length: 100 }, (_, index) => 1000 + index * 10);
  expect(parseH2load(QUIET, log(latenciesUs))).toEqual({
    requests: 51_391,
    seconds: 2.01,
    requestsPerSecond: 25_695.5,
    p99Ms: 1.98,
    bytesRead: 2_518_159 + 668_083,
    badStatuses: 0,
    socketErrors: 0,
  });
});

test("counts a bad status once, and what failed otherwise as an error", () => {
  expect(parseH2load(TROUBLED, log([1]))).toMatchObject({
    requests: 10,
    seconds: 0.5,
    badStatuses: 4,
    socketErrors: 7 - 4 + 2 + 1,
  });
});

test("says what it found in place of figures", () => {
  expect(() => parseH2load("No protocol negotiated. Fallback behaviour may be activated\n", "")).toThrow(
    "No protocol negotiated",
  );
});
