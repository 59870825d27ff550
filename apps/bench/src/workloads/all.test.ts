import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testWith } from "../../../../test/programs.ts";
import { startOrigin } from "../origin.ts";
import { findFaults } from "../verify.ts";
import { HTTP1 } from "../wire.ts";
import type { Workload } from "../workload.ts";
import { chooseWorkloads } from "./all.ts";

test("sizes and names become workloads in their order, each once", () => {
  const names = chooseWorkloads(["browser", "1k", "13", "1024", "upload"]).map(({ name }) => name);
  expect(names).toEqual(["browser", "1 KB", "13 B", "upload 1 MB"]);
});

test("the handshakes have a file each, so that their answers differ", () => {
  const workloads = chooseWorkloads(["full-handshake", "resumed-handshake"]);
  expect(workloads.map(({ name, handshake }) => [name, handshake])).toEqual([
    ["full handshake", "full"],
    ["resumed handshake", "resumed"],
  ]);
  expect(new Set(workloads.map(({ files: [file] }) => file?.path)).size).toBe(2);
});

test.each(["big", "0", "toString"])("%s is no workload", (word) => {
  expect(() => chooseWorkloads(["13", word])).toThrow(
    `none of browser, upload, full-handshake, resumed-handshake, and not a body size: "${word}"`,
  );
});

test("a browser sends twelve fields; ten come back, and nginx adds five", () => {
  const [workload] = chooseWorkloads(["browser"]);
  expect(workload?.timed.request.fields).toHaveLength(12);
  expect(workload?.timed.answer.fields).toHaveLength(10);
  expect(workload?.timed.answer.content).toHaveLength(1024);
});

testWith(["nginx", "taskset"], "the origin's own answers are right, and what is lost on the way is named", async () => {
  const workloads = chooseWorkloads(["13", "browser", "upload"]);
  const folder = await mkdtemp(join(tmpdir(), "sluice-origin-"));
  try {
    await using origin = await startOrigin(folder, workloads);
    const clear = { port: origin.ports.h1, wire: HTTP1, ca: "" };
    for (const workload of workloads) expect(await findFaults(clear, workload, false)).toEqual([]);
    const http2 = { port: origin.ports.h2, wire: { client: "h2", tls: false, origin: "h2" }, ca: "" } as const;
    for (const workload of workloads) expect(await findFaults(http2, workload, false)).toEqual([]);

    const [, browser, upload] = workloads as [Workload, Workload, Workload];
    const noCookie = withRequest(browser, ({ fields }) => ({ fields: fields.filter(([name]) => name !== "Cookie") }));
    expect(await findFaults(clear, noCookie, false)).toEqual([
      expect.stringContaining("/browser-seen: X-Seen-Cookie is [] in place of"),
    ]);
    const short = withRequest(upload, ({ chunkedBody }) => ({ chunkedBody: chunkedBody!.subarray(1) }));
    expect(await findFaults(clear, short, false)).toEqual([
      "/upload: status 400",
      "/upload: a wrong body of 7 bytes in place of 7",
      "/upload-echo: a wrong body of 1048575 bytes in place of 1048576",
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** The workload as a proxy that changes requests would make it look to the origin. */
function withRequest(
  workload: Workload,
  change: (request: Workload["timed"]["request"]) => Partial<Workload["timed"]["request"]>,
): Workload {
  const checks = workload.checks.map(({ request, answer }) => ({
    request: { ...request, ...change(request) },
    answer,
  }));
  return { ...workload, checks };
}
