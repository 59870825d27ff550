import { ResponseHeader, type HeaderFieldsInit } from "@sluice/http";
import { describe, expect, test } from "vitest";
import type { CompressionDecision } from "./decide.ts";
import { editHead } from "./edit-head.ts";

const varyBy = ["accept-encoding"];
const compress: CompressionDecision = { kind: "compress", algorithm: "gzip", varyBy };
const decompress: CompressionDecision = { kind: "decompress", algorithm: "gzip", varyBy };
const nothing: CompressionDecision = { kind: "none", reason: "accepted", varyBy };

function edited(fields: HeaderFieldsInit, decision: CompressionDecision, preserveEtag = false): ResponseHeader {
  const response = ResponseHeader.build(200, fields);
  editHead(response, decision, preserveEtag);
  return response;
}

describe("Vary", () => {
  test.each([
    [[], ["accept-encoding"]],
    [["Accept-Language"], ["Accept-Language", "accept-encoding"]],
    [["Accept-Encoding"], ["Accept-Encoding"]],
    [["Origin, ACCEPT-ENCODING"], ["Origin, ACCEPT-ENCODING"]],
    [
      ["Origin", "accept-encoding"],
      ["Origin", "accept-encoding"],
    ],
    [["*"], ["*"]],
    [["X-Accept-Encoding"], ["X-Accept-Encoding", "accept-encoding"]],
  ] as [string[], string[]][])("%o becomes %o", (before, after) => {
    expect(edited({ Vary: before }, nothing).getAll("vary")).toEqual(after);
    expect(edited({ Vary: before }, compress).getAll("vary")).toEqual(after);
  });

  test("names a dictionary that was used", () => {
    const decision = {
      kind: "compress",
      algorithm: "dcz",
      varyBy: ["accept-encoding", "available-dictionary"],
    } as const;
    expect(edited({ Vary: "accept-encoding" }, decision).getAll("vary")).toEqual([
      "accept-encoding",
      "available-dictionary",
    ]);
  });

  test("is left alone when the response depends on nothing", () => {
    expect(edited({}, { kind: "none", reason: "off", varyBy: [] }).has("vary")).toBe(false);
  });
});

const FIELDS = { "Content-Length": "100", "Content-Encoding": "gzip", "Accept-Ranges": "bytes", ETag: '"abc123"' };

test("nothing else is touched when nothing is done", () => {
  expect([...edited(FIELDS, nothing)]).toEqual([...Object.entries(FIELDS), ["Vary", "accept-encoding"]]);
});

test("what was decompressed has neither coding, length nor ranges", () => {
  expect([...edited(FIELDS, decompress)]).toEqual([
    ["ETag", 'W/"abc123"'],
    ["Vary", "accept-encoding"],
  ]);
});

test("what is compressed names its coding", () => {
  const { "Content-Encoding": _, ...plain } = FIELDS;
  expect([...edited(plain, compress)]).toEqual([
    ["ETag", 'W/"abc123"'],
    ["Vary", "accept-encoding"],
    ["Content-Encoding", "gzip"],
  ]);
});

test.each([
  ['"abc123"', 'W/"abc123"'],
  ['W/"abc123"', 'W/"abc123"'],
  ["abc123", undefined],
])("ETag %s becomes %s, and stays if asked to", (before, after) => {
  expect(edited({ ETag: before }, compress).get("etag")).toBe(after);
  expect(edited({ ETag: before }, decompress, true).get("etag")).toBe(before);
});
