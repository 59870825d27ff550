import { HeaderFields } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { scanFields, takeFields } from "./scan-fields.ts";

const LIMITS = { maxHeadBytes: 65_536, maxFields: 1000 };

function scan(text: string, lenient = false, maxFields = 1000): string[] | number {
  const end = scanFields(Buffer.from(text, "latin1"), 0, text.length, { ...LIMITS, maxFields }, lenient);
  if (end < 0) return end;
  expect(end).toBe(text.length);
  return new HeaderFields(takeFields(text, 0)).raw;
}

test("no fields", () => {
  expect(scan("\r\n")).toEqual([]);
});

test("names and values, without the space around them", () => {
  expect(scan("A:b\r\nC: d e \t\r\nE:\r\n\r\n")).toEqual(["A", "b", "C", "d e", "E", ""]);
});

test("-1 until the empty line is whole", () => {
  const text = "A: b\r\nC: d\r\n\r\n";
  for (let end = 0; end < text.length; end++) {
    expect(scanFields(Buffer.from(text), 0, end, LIMITS, false), `up to ${end}`).toBe(-1);
    expect(scanFields(Buffer.from(text), 0, end, LIMITS, true), `up to ${end}`).toBe(-1);
  }
});

test("starts in the middle of a buffer, and reads from a text that starts elsewhere", () => {
  const buffer = Buffer.from("skip A: b\r\n\r\nrest");
  expect(scanFields(buffer, 5, buffer.length, LIMITS, false)).toBe(13);
  expect(new HeaderFields(takeFields("A: b\r\n\r\n", 5)).raw).toEqual(["A", "b"]);
});

test("every byte in a name and in a value is either taken or refused, by RFC 9110 sections 5.1 and 5.5", () => {
  for (let byte = 0; byte < 256; byte++) {
    const character = String.fromCharCode(byte);
    const inName = /[!#$%&'*+\-.^_`|~0-9A-Za-z:]/.test(character);
    const inValue = byte === 9 || (byte >= 32 && byte !== 127);
    const name = (): unknown => scan(`A${character}B: v\r\n\r\n`);
    const value = (): unknown => scan(`A: v${character}w\r\n\r\n`);
    if (inName) expect(name(), `byte ${byte}`).toHaveLength(2);
    else expect(name, `byte ${byte}`).toThrow(expect.objectContaining({ type: "InvalidHTTPHeader" }));
    if (inValue) expect(value(), `byte ${byte}`).toEqual(["A", `v${character}w`]);
    else expect(value, `byte ${byte}`).toThrow(expect.objectContaining({ type: "InvalidHTTPHeader" }));
  }
});

describe("the limit", () => {
  test("is the number of fields", () => {
    expect(scan("A: b\r\n".repeat(3) + "\r\n", false, 3)).toHaveLength(6);
    expect(() => scan("A: b\r\n".repeat(4) + "\r\n", false, 3)).toThrow(expect.objectContaining({ status: 431 }));
  });

  test("may be larger than what there is room for at first", () => {
    expect(scan("A: b\r\n".repeat(1000) + "\r\n")).toHaveLength(2000);
  });
});

describe("lenient", () => {
  test("space before the colon is dropped", () => {
    expect(scan("A \t: b\r\n\r\n", true)).toEqual(["A", "b"]);
  });

  test("folds become one space each, whatever they are made of", () => {
    expect(scan("A: b \r\n\t c\r\n  d \r\n\r\n", true)).toEqual(["A", "b c d"]);
    expect(scan("A:\r\n b\r\n\r\n", true)).toEqual(["A", "b"]);
    expect(scan("A: b\r\n \r\n\r\n", true)).toEqual(["A", "b"]);
    expect(scan("A:\r\n \r\n\r\n", true)).toEqual(["A", ""]);
    expect(scan("A: b\r\n \r\n c\r\nB: d\r\n\r\n", true)).toEqual(["A", "b c", "B", "d"]);
  });

  test("no value keeps a line end", () => {
    expect(JSON.stringify(scan("A: b\r\n \t \r\n\t\r\n c\r\n \r\n\r\n", true))).not.toMatch(/\\r|\\n/);
  });

  test("a fold is not a field", () => {
    expect(scan("A: b\r\n c\r\n d\r\n\r\n", true, 1)).toEqual(["A", "b c d"]);
  });

  test("one scan's folds are forgotten by the next", () => {
    scan("A: b\r\n c\r\n\r\n", true);
    expect(scan("A: b\r\n\r\n", true)).toEqual(["A", "b"]);
  });

  test("what is strict about the rest stays so", () => {
    for (const text of [
      " A: b\r\n\r\n",
      "A b: c\r\n\r\n",
      ": b\r\n\r\n",
      "A: b\n\r\n",
      "A: b\r\n c\n\r\n",
      "A: b\r\n \0\r\n\r\n",
    ]) {
      expect(() => scan(text, true), text).toThrow(expect.objectContaining({ type: "InvalidHTTPHeader" }));
    }
  });
});
