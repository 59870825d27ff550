import { ERROR_TYPES, ProxyError, type ErrorSource } from "@sluice/error";
import { describe, expect, test } from "vitest";
import { docTable } from "../test/support/doc-table.ts";
import { ERROR_ANSWERS, errorStatus, NOTHING_SENT, proxyStatusError, type ErrorAnswer } from "./error-answers.ts";

function cells({ source, types, details, status, proxyStatus }: ErrorAnswer): string[] {
  let what = types?.map((type) => `\`${type}\``).join(", ") ?? "anything else";
  if (types === undefined && typeof status === "string") what = "what names a status";
  if (details !== undefined) what += ` (${details.map((detail) => `\`${detail}\``).join(", ")})`;
  const statuses = { "4xx": "its own, 4xx", "its own": "its own, any other from 200" };
  const told = typeof status === "string" ? statuses[status] : status === NOTHING_SENT ? "none is sent" : `${status}`;
  return [source ?? "any", what, told, proxyStatus === undefined ? "" : `\`${proxyStatus}\``];
}

test("docs/failures.md shows the table row by row", async () => {
  expect(await docTable("failures.md", "source")).toEqual(ERROR_ANSWERS.map(cells));
});

test("every known error has an answer; one that says why is no answer of 0, and the other way round", () => {
  for (const type of Object.keys(ERROR_TYPES)) {
    for (const source of ["upstream", "downstream", "internal", "unset"] as const) {
      const error = new ProxyError(type, { source });
      expect(errorStatus(error) === NOTHING_SENT).toBe(proxyStatusError(error) === undefined);
      if (source !== "downstream") expect(errorStatus(error)).toBeGreaterThanOrEqual(500);
    }
  }
});

test("no row is out of reach of every error", () => {
  const reached = new Set<ErrorAnswer>();
  for (const row of ERROR_ANSWERS) {
    for (const source of row.source === undefined ? (["internal", "unset"] as const) : [row.source]) {
      for (const type of row.types ?? ["Mine"]) {
        const status = { "4xx": 499, "its own": 302 }[String(row.status)];
        const error = new ProxyError(type, {
          source,
          ...(row.details !== undefined && { detail: row.details[0]! }),
          ...(status !== undefined && { status }),
        });
        if (errorStatus(error) === (status ?? row.status) && proxyStatusError(error) === row.proxyStatus)
          reached.add(row);
      }
    }
  }
  expect(ERROR_ANSWERS.filter((row) => !reached.has(row))).toEqual([]);
});

describe("types of an app's own are answered by their source", () => {
  test.each<[number, ErrorSource]>([
    [502, "upstream"],
    [400, "downstream"],
    [500, "internal"],
    [500, "unset"],
  ])("%d for %s", (status, source) => {
    expect(errorStatus(new ProxyError("QuotaExceeded", { source }))).toBe(status);
  });
});

describe("a status that stands for another error", () => {
  const refused = ProxyError.upstream("ConnectRefused");

  test.each([
    ["has the reason of an upstream's", ProxyError.httpStatus(503, "sorry", refused), "connection_refused"],
    ["also with more context", ProxyError.httpStatus(503, "a", refused).moreContext("b"), "connection_refused"],
    [
      "not that of a hook's",
      ProxyError.httpStatus(503, "a", ProxyError.internal("InternalError")),
      "proxy_internal_response",
    ],
    ["nor that of a foreign one", ProxyError.httpStatus(403, "a", new Error("b")), "http_request_denied"],
  ])("%s", (_what, error, reason) => {
    expect(proxyStatusError(error)).toBe(reason);
    expect(errorStatus(error)).toBe(error.status);
  });
});

test.each([100, 199])("an interim status (%d) answers nothing", (status) => {
  expect(errorStatus(ProxyError.httpStatus(status))).toBe(500);
  expect(errorStatus(ProxyError.httpStatus(status).setSource("upstream"))).toBe(502);
});
