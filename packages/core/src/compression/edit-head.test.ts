import { HeaderFields, ResponseHeader, type HeaderFieldsInit } from "@sluice/http";
import { describe, expect, test } from "vitest";
import type { CompressionDecision } from "./decide.ts";
import { editHead, editTrailers } from "./edit-head.ts";

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

test("a head without its body, of which that would be compressed, promises no ranges of it either", () => {
  const head = { kind: "none", reason: "noBody", varyBy, wouldBe: "gzip" } as const;
  expect([...edited({ "Content-Length": "100", "Accept-Ranges": "bytes", ETag: '"1"' }, head)]).toEqual([
    ["ETag", 'W/"1"'],
    ["Vary", "accept-encoding"],
  ]);
});

test.each([
  [false, 'W/"1"'],
  [true, '"1"'],
])("trailers keep no digest of the bytes as they came (preserveEtag %s)", (preserveEtag, etag) => {
  const trailers = HeaderFields.from({ "Content-Digest": "a", "Repr-Digest": "b", Digest: "c", "Content-MD5": "d" });
  trailers.append("ETag", '"1"').append("Grpc-Status", "0");
  editTrailers(trailers, preserveEtag);
  expect([...trailers]).toEqual([
    ["ETag", etag],
    ["Grpc-Status", "0"],
  ]);
});
