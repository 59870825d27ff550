import { describe, expect, test } from "vitest";
import { fieldsToH1, titledName } from "./h1-fields.ts";
import { HeaderFields } from "./header-fields.ts";

describe("spelling and order", () => {
  test("set replaces all fields of the name, and the new spelling wins", () => {
    const fields = HeaderFields.from([
      ["foo", "bar"],
      ["x", "1"],
      ["FOO", "baz"],
    ]);
    fields.set("FoO", "Bar");
    expect(fieldsToH1(fields)).toBe("FoO: Bar\r\nx: 1\r\n");
    expect([...fields]).toEqual([
      ["FoO", "Bar"],
      ["x", "1"],
    ]);
  });

  test("append keeps every line with its own spelling; remove takes the name away", () => {
    const fields = new HeaderFields()
      .append("FoO", "Bar")
      .append("fOO", "bar")
      .append("BAZ", "baR")
      .append("Content-Length", 0)
      .append("a", "b");
    expect(fields.remove("A")).toBe("b");
    expect(fieldsToH1(fields)).toBe("FoO: Bar\r\nfOO: bar\r\nBAZ: baR\r\nContent-Length: 0\r\n");
  });

  test("the order on the wire stays, also of equal names apart from each other", () => {
    const fields = HeaderFields.from([
      ["A", "1"],
      ["B", "2"],
      ["A", "3"],
    ]);
    expect(fieldsToH1(fields)).toBe("A: 1\r\nB: 2\r\nA: 3\r\n");
  });

  test("remove takes every line of the name, wherever it stands", () => {
    const fields = HeaderFields.from([
      ["A", "1"],
      ["B", "2"],
      ["a", "3"],
      ["C", "4"],
      ["A", "5"],
    ]);
    expect(fields.remove("a")).toBe("1");
    expect([...fields]).toEqual([
      ["B", "2"],
      ["C", "4"],
    ]);
    expect(fields.remove("a")).toBeUndefined();
  });

  test("names from HTTP/2 get the usual spelling of the old names only", () => {
    expect(["set-cookie", "etag", "content-length"].map(titledName)).toEqual(["Set-Cookie", "etag", "Content-Length"]);
  });
});

test("get gives the first value, getAll all of them, has looks at names only", () => {
  const fields = HeaderFields.from({ "Set-Cookie": ["a=1", "b=2"], Host: "example.org" });
  expect(fields.get("set-cookie")).toBe("a=1");
  expect(fields.getAll("SET-COOKIE")).toEqual(["a=1", "b=2"]);
  expect(fields.has("host")).toBe(true);
  expect(fields.has("hos")).toBe(false);
  expect(fields.get("nothing")).toBeUndefined();
  expect(fields.size).toBe(3);
});

test("bytes above 0x7F survive as latin1", () => {
  const value = Buffer.from([0xff, 0xfe, 0x80]).toString("latin1");
  expect(Buffer.from(fieldsToH1(new HeaderFields().set("x", value)), "latin1")).toEqual(
    Buffer.from([0x78, 0x3a, 0x20, 0xff, 0xfe, 0x80, 0x0d, 0x0a]),
  );
});

describe("what cannot stand in a head is refused, and the message says what and why", () => {
  test.each(["", "a b", "a:", "ä", "a\r\n", "(x)"])("name %j", (name) => {
    expect(() => new HeaderFields().set(name, "v")).toThrow(/invalid field name: .*expected a token/);
    expect(() => new HeaderFields().append(name, "v")).toThrow(/invalid field name/);
  });

  test.each(["a\r\nb: c", "a\nb", "a\0", "\x7f", "Ł"])("value %j", (value) => {
    expect(() => new HeaderFields().set("x", value)).toThrow(/invalid value of x: .*expected no control/);
    expect(() => HeaderFields.from({ x: value })).toThrow(/invalid value of x/);
  });

  test("an allowed value: tab, space, visible and high bytes", () => {
    expect(new HeaderFields().set("x", "a\t b\x80\xff~").get("x")).toBe("a\t b\x80\xff~");
  });
});
