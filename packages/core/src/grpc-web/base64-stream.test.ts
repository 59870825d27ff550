import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Base64Reader } from "./base64-stream.ts";

function readAll(text: string, cuts: number[]): Buffer {
  const reader = new Base64Reader();
  const parts: Buffer[] = [];
  let from = 0;
  const places = new Set(cuts.map((place) => place % (text.length + 1)));
  for (const cut of [...places].toSorted((a, b) => a - b)) {
    parts.push(reader.read(Buffer.from(text.slice(from, cut))));
    from = cut;
  }
  parts.push(reader.read(Buffer.from(text.slice(from))));
  reader.end();
  return Buffer.concat(parts);
}

test("parts that were encoded one by one come out whole, wherever the text is cut", () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 });
  fc.assert(
    fc.property(parts, fc.array(fc.nat(400), { maxLength: 12 }), (given, cuts) => {
      const text = given.map((part) => Buffer.from(part).toString("base64")).join("");
      expect(readAll(text, cuts)).toEqual(Buffer.concat(given));
    }),
  );
});

test.for<[what: string, text: string]>([
  ["a letter that base64 does not have", "AAA*"],
  ["letters of base64url", "AA-_"],
  ["a line break", "AAAA\r\nAA"],
  ["padding where none can be", "A=AA"],
  ["three letters of padding", "A==="],
])("%s is answered with 400", ([, text]) => {
  const reader = new Base64Reader();
  expect(() => {
    reader.read(Buffer.from(text));
    reader.end();
  }).toThrow(expect.objectContaining({ type: "HTTPStatus", status: 400, source: "downstream" }));
});

test("an end within a group of four letters is answered with 400", () => {
  const reader = new Base64Reader();
  expect(reader.read(Buffer.from("AAAAAA"))).toEqual(Buffer.alloc(3));
  expect(() => reader.end()).toThrow("ends in the middle of a group");
});
