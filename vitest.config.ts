import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/{src,test}/**/*.test.ts", "apps/*/{src,test}/**/*.test.ts", "{scripts,test}/**/*.test.ts"],
    // A process of its own for each file: tests open servers, send signals and change process-wide state.
    pool: "forks",
    // Two at a time whatever the machine: tests with real time limits hold on two cores, and fail nowhere else.
    maxWorkers: 2,
    testTimeout: 20_000,
    setupFiles: ["test/lend-all-reads.ts"],
    // Many tests are real processes and sockets on few shared cores: what fails there twice in a row is no accident. At a desk
    // nothing is tried again, so that a test that sometimes fails is seen.
    retry: process.env["CI"] ? 1 : 0,
    hookTimeout: 30_000,
  },
});
