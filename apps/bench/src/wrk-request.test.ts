import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { prepareWrkRequest, rawRequest } from "./wrk-request.ts";

test("a chunked request is framed as it goes over the wire", () => {
  const body = Buffer.alloc(16_385, "x");
  const request = { method: "POST", path: "/up", fields: [["Host", "a.example"]] } as const;
  expect(rawRequest(request, body).toString("latin1")).toBe(
    `POST /up HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n${"x".repeat(16_384)}\r\n1\r\nx\r\n0\r\n\r\n`,
  );
});

test("wrk gets the fields of a request without body as arguments", async () => {
  const fields = [
    ["Accept", "*/*"],
    ["Cookie", "a=1; b=2"],
  ] as const;
  const prepared = await prepareWrkRequest({ method: "GET", path: "/x", fields }, "/not/used");
  expect(prepared).toEqual({ path: "/x", wrkArgs: ["-H", "Accept: */*", "-H", "Cookie: a=1; b=2"] });
});

test("wrk gets a script for a request with a body, which reads the request from a file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-load-"));
  try {
    const request = { method: "POST", path: "/up", fields: [], chunkedBody: Buffer.from([0, 10, 255]) } as const;
    const { wrkArgs } = await prepareWrkRequest(request, folder);
    expect(wrkArgs).toEqual(["-s", join(folder, "_up.lua")]);
    expect(await readFile(join(folder, "_up.lua"), "utf8")).toContain(`io.open([[${join(folder, "_up.http")}]], "rb")`);
    expect(await readFile(join(folder, "_up.http"))).toEqual(rawRequest(request, request.chunkedBody));
  } finally {
    await rm(folder, { recursive: true });
  }
});
