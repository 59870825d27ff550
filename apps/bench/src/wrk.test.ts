import { expect, test } from "vitest";
import { parseWrk } from "./wrk.ts";

const QUIET = `Running 5s test @ http://127.0.0.1:8080/13.bin
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.32ms  275.05us   9.51ms   92.87%
    Req/Sec    48.67k     2.95k   51.71k    84.00%
  Latency Distribution
     50%    1.29ms
     75%    1.38ms
     90%    1.50ms
     99%    2.05ms
  242315 requests in 5.00s, 62.16MB read
Requests/sec:  48455.53
Transfer/sec:     12.43MB
`;

const TROUBLED = `Running 1m test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Latency Distribution
     50%  980.00us
     99%    1.20s 
  7 requests in 1.00m, 900B read
  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 6
Requests/sec:      0.12
Transfer/sec:     15.00B
`;

test("reads a run without trouble", () => {
  expect(parseWrk(QUIET)).toEqual({
    requests: 242_315,
    seconds: 5,
    requestsPerSecond: 48_455.53,
    p99Ms: 2.05,
    bytesRead: 62.16 * 1024 * 1024,
    badStatuses: 0,
    socketErrors: 0,
  });
});

test("adds up socket errors, reads bad statuses, seconds, minutes and plain bytes", () => {
  expect(parseWrk(TROUBLED)).toMatchObject({
    seconds: 60,
    p99Ms: 1200,
    bytesRead: 900,
    badStatuses: 6,
    socketErrors: 4321,
  });
});

test("reads microseconds and gigabytes", () => {
  const fast = QUIET.replace("2.05ms", "850.00us").replace("62.16MB", "2.50GB");
  expect(parseWrk(fast)).toMatchObject({ p99Ms: 0.85, bytesRead: 2.5 * 1024 ** 3 });
});

test("says what it found in place of figures", () => {
  expect(() => parseWrk("unable to connect to 127.0.0.1:8080 Connection refused\n")).toThrow("Connection refused");
});
