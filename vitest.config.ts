import path from "node:path";
import { defineConfig } from "vitest/config";

// Tests start many hundred processes of our own programs: what V8 compiled and Node.js stripped of types once serves them all.
process.env["NODE_COMPILE_CACHE"] ??= path.join(import.meta.dirname, "node_modules/.cache/compiled");

/** Tests that leave nothing behind in their process: those of single modules, beside them, and those of the proxy's phases. */
const SHARED = ["packages/*/src/**/*.test.ts", "apps/*/src/**/*.test.ts", "packages/proxy/test/**/*.test.ts"];

/**
 * Beside those, but about what is found out once in a process, about all timers there are in it, or about its memory: where V8 puts new
 * objects depends on how long those of before were kept, and other tests keep all of them.
 */
const ONCE = [
  "packages/core/src/compression/response-compression.test.ts",
  "packages/core/src/http2/old-connection.test.ts",
  "packages/core/src/net/deadline.test.ts",
  "packages/core/src/net/roster.test.ts",
  "packages/proxy/test/failure-injection.test.ts",
];

/** What real sockets do to a proxy, once more with those that io_uring carries. */
const BY_IO_URING = [
  "packages/core/src/upstreams/**/*.test.ts",
  "packages/core/src/http2/http2-server-connection.test.ts",
  "packages/proxy/test/{acceptance,http1}/**/*.test.ts",
  "packages/proxy/test/lent-pieces.test.ts",
  "packages/tls-openssl/test/{http2,programs,swap-under-load,interleaved,connection-limits}.test.ts",
  "test/random/**/*.test.ts",
];

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        // The start of a process would take longer than most of them do.
        test: { name: "shared", include: SHARED, exclude: ONCE, isolate: false, setupFiles: "test/fresh-logs.ts" },
      },
      {
        extends: true,
        test: { name: "io-uring", include: BY_IO_URING, isolate: false, env: { SLUICE_TEST_IO_URING: "1" } },
      },
      {
        extends: true,
        // A process of its own for each file: tests open servers, send signals and change process-wide state.
        test: {
          name: "own",
          include: [
            "packages/!(proxy)/test/**/*.test.ts",
            "apps/*/test/**/*.test.ts",
            "{scripts,test}/**/*.test.ts",
            ...ONCE,
          ],
        },
      },
    ],
    pool: "forks",
    // Two at a time whatever the machine: tests with real time limits hold on two cores, and fail nowhere else.
    maxWorkers: 2,
    testTimeout: 20_000,
    setupFiles: ["test/lend-all-reads.ts", "test/on-io-uring.ts"],
    // Many tests are real processes and sockets on few shared cores: what fails there twice in a row is no accident. At a desk
    // nothing is tried again, so that a test that sometimes fails is seen.
    retry: process.env["CI"] ? 1 : 0,
    hookTimeout: 30_000,
  },
});
