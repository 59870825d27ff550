import { HeaderFields } from "@sluice/http";
import { expect, test } from "vitest";
import { DEFAULT_HEAD_LIMITS } from "../http1/head-limits.ts";
import { parseRequestHead } from "../http1/parse-head.ts";
import { CANCEL, http2CodeName, HTTP_1_1_REQUIRED } from "./error-codes.ts";
import { goesByHttp2, hasTrailers, writeFields, writeTrailers } from "./fields.ts";

type List = [name: string, value: string][];

function written(write: (to: { field(name: string, value: string): void }) => void): List {
  const list: List = [];
  write({ field: (name, value) => list.push([name, value]) });
  return list;
}

const FIELDS: List = [
  ["X-A", "\t1 "],
  ["Connection", "close"],
  ["TE", "trailers"],
  ["te", "gzip"],
  ["HTTP2-Settings", "x"],
  ["X-A", " "],
  ["x-b", ""],
];
const WRITTEN: List = [
  ["x-a", "1"],
  ["te", "trailers"],
  ["x-a", ""],
  ["x-b", ""],
];

test("fields are written in their order, in lower case, without space around values, and without those of one connection", () => {
  const fields = HeaderFields.from(FIELDS);
  for (let round = 0; round < 2; round++) {
    expect(written((to) => writeFields(to, fields, goesByHttp2))).toEqual(WRITTEN);
  }
});

test("fields of HTTP/1 are written the same, whatever stood in their places before", () => {
  const text = `GET / HTTP/1.1\r\n${FIELDS.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  const lines = (bytes: string): HeaderFields =>
    parseRequestHead(Buffer.from(bytes, "latin1"), 0, bytes.length, DEFAULT_HEAD_LIMITS)!;
  for (const before of ["", "X-Other: 1\r\nX-Another: 2\r\n", "x-a: 1\r\n"]) {
    written((to) => writeFields(to, lines(`GET / HTTP/1.1\r\n${before}\r\n`), goesByHttp2));
    expect(written((to) => writeFields(to, lines(text), goesByHttp2))).toEqual(WRITTEN);
  }
});

test("a field that was removed is not written", () => {
  const text = "GET / HTTP/1.1\r\nX-A: 1\r\nX-B: 2\r\n\r\n";
  const head = parseRequestHead(Buffer.from(text), 0, text.length, DEFAULT_HEAD_LIMITS)!;
  head.remove("x-a");
  expect(written((to) => writeFields(to, head, goesByHttp2))).toEqual([["x-b", "2"]]);
});

test("trailers have none that frame, route or authorise", () => {
  const trailers = HeaderFields.from({ "Content-Length": "1", Host: "a", Authorization: "b", "Grpc-Status": " 0" });
  expect(hasTrailers(trailers)).toBe(true);
  expect(written((to) => writeTrailers(to, trailers))).toEqual([["grpc-status", "0"]]);
  expect(hasTrailers(HeaderFields.from({ Host: "a" }))).toBe(false);
});

test("codes have names, unknown ones numbers", () => {
  expect([CANCEL, HTTP_1_1_REQUIRED, 255].map(http2CodeName)).toEqual(["CANCEL", "HTTP_1_1_REQUIRED", "0xff"]);
});
