import { expect, test } from "vitest";
import { INVALID, PSEUDO_PATH, PSEUDO_STATUS } from "../field-mark.ts";
import { CONTENT_LENGTH } from "../../http1/known-fields.ts";
import { HpackDecoder } from "./decoder.ts";
import { HpackError } from "./hpack-error.ts";
import { findText } from "./known-strings.ts";

function marksOf(decoder: HpackDecoder, hex: string): number[] {
  const marks: number[] = [];
  const block = Buffer.from(hex.replaceAll(" ", ""), "hex");
  decoder.decode(block, 0, block.length, { field: (_name, _value, _never, mark) => marks.push(mark) });
  return marks;
}

test("a field's mark tells its name, and whether it is valid, also from the table", () => {
  const decoder = new HpackDecoder();
  expect(marksOf(decoder, "88 0f0d 0135 0401 2f 400141 0162 be")).toEqual([
    PSEUDO_STATUS,
    CONTENT_LENGTH,
    PSEUDO_PATH,
    INVALID,
    INVALID,
  ]);
});

test("a name is not blamed for the value that stands beside it in the table", () => {
  const decoder = new HpackDecoder();
  expect(marksOf(decoder, "5c 0200 35 0f2f 0135")).toEqual([CONTENT_LENGTH | INVALID, CONTENT_LENGTH]);
});

test.for([
  ["a NUL", "00 0161 0100"],
  ["a line feed in a coded value", "00 0161 84 fffffff3"],
  ["space before a value", "00 0161 02 2062"],
  ["a tab behind one", "00 0161 02 6209"],
  ["an empty name", "00 00 0162"],
  ["a colon alone", "00 013a 0162"],
  ["a space in a name", "00 03 612062 0162"],
  ["a capital letter", "00 0141 0162"],
] as const)("%s is marked", ([, hex]) => {
  expect(marksOf(new HpackDecoder(), hex)).toEqual([INVALID]);
});

test("an indexed field gives the same strings each time", () => {
  const decoder = new HpackDecoder();
  const seen: string[] = [];
  const receiver = { field: (name: string, value: string) => seen.push(name, value) };
  decoder.decode(Buffer.from("400161016282be", "hex"), 0, 7, receiver);
  expect(seen).toEqual(["a", "b", ":method", "GET", "a", "b"]);
});

test("a table below 4096 bytes counts from when our SETTINGS were acknowledged, and then must be announced", () => {
  const decoder = new HpackDecoder(100);
  marksOf(decoder, "400161 0162 3f".slice(0, -2));
  decoder.settingsAcknowledged();
  expect(() => marksOf(decoder, "be")).toThrow(HpackError);
  expect(() => marksOf(decoder, "be")).toThrow("still larger than the 100 bytes");
  expect(marksOf(decoder, "3f45 be")).toEqual([0]);
  expect(() => marksOf(decoder, "3f46")).toThrow("a table of 101 bytes, where we allow 100");
});

test("a table above 4096 bytes is used when the encoder says so", () => {
  const decoder = new HpackDecoder(65_536);
  marksOf(decoder, "3fe1ff03");
  // 200 entries of 35 bytes.
  for (let n = 0; n < 200; n++)
    marksOf(decoder, `40 0161 02 ${Buffer.from(String(n).padStart(2, "0").slice(0, 2)).toString("hex")}`);
  expect(marksOf(decoder, "ff8601")).toEqual([0]);
  expect(() => marksOf(decoder, "ff8701")).toThrow("index 262 beyond the table");
});

test.for([
  ["x-a", 0, true],
  ["x-b", 0x10, false],
  ["cookie", 0, false],
  ["set-cookie", 0, false],
  ["authorization", 0, false],
  ["proxy-authorization", 0, false],
] as const)("a text of %s (first byte %i) is found again by its bytes: %s", ([name, bits, found]) => {
  const text = Buffer.from(`a text that stands in ${name}`);
  const block = Buffer.concat([Buffer.from([bits, name.length]), Buffer.from(name), Buffer.from([text.length]), text]);
  const seen: string[] = [];
  for (let round = 0; round < 4; round++) {
    new HpackDecoder().decode(block, 0, block.length, { field: (_, value) => seen.push(value) });
  }
  expect(new Set(seen)).toEqual(new Set([text.toString()]));
  expect(findText(text, 0, text.length, false) >= 0).toBe(found);
});
