import { expect, test } from "vitest";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";

/** Encodes, checks that it is read as it was written, and tells the bytes. */
function connection(maxTableBytes?: number): (...fields: [name: string, value: string, never?: boolean][]) => Buffer {
  const encoder = new HpackEncoder(maxTableBytes);
  const decoder = new HpackDecoder();
  const target = Buffer.alloc(10_000);
  return (...fields) => {
    let at = encoder.begin(target, 0);
    for (const [name, value, never] of fields) {
      const from = at;
      at = encoder.field(target, at, name, value, never);
      expect(at - from).toBeLessThanOrEqual(HpackEncoder.maxBytes(name, value));
    }
    const seen: [string, string][] = [];
    decoder.decode(target, 0, at, { field: (name, value) => seen.push([name, value]) });
    expect(seen).toEqual(fields.map(([name, value]) => [name, value]));
    return Buffer.from(target.subarray(0, at));
  };
}

test("a field that comes again is one byte", () => {
  const encode = connection();
  const head: [string, string][] = [
    [":status", "200"],
    ["content-type", "text/html; charset=utf-8"],
    ["x-anything", "at all"],
  ];
  expect(encode(...head).length).toBeGreaterThan(20);
  expect(encode(...head)).toHaveLength(3);
});

test.for([":path", "content-length", "etag", "set-cookie", "location"])(
  "%s goes into the table when a value of it comes twice in a row",
  (name) => {
    const encode = connection();
    for (const value of ["/1", "/2", "/3", "/4"]) expect(encode([name, value])[0]! & 0xf0, value).toBe(0);
    expect(encode([name, "/4"])[0]! & 0xc0).toBe(0x40);
    expect(encode([name, "/4"])).toHaveLength(1);
  },
);

test("a field whose values are ever new does not go into the table any more", () => {
  const encode = connection();
  const firstBits = Array.from({ length: 20 }, (_, n) => encode(["x-request-id", `number ${n}`])[0]! & 0xf0);
  expect(firstBits.slice(0, 4)).toEqual([0x40, 0x70, 0x70, 0x70]);
  expect(firstBits.slice(4)).toEqual(Array.from({ length: 16 }, () => 0));
});

test("secrets are never indexed: Authorization, short cookies, and what came so", () => {
  const encode = connection();
  for (let round = 0; round < 3; round++) {
    expect(encode(["authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="])[0]! & 0xf0).toBe(0x10);
    expect(encode(["proxy-authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="])[0]! & 0xf0).toBe(0x10);
    expect(encode(["cookie", "id=1234"])[0]! & 0xf0).toBe(0x10);
    expect(encode(["x-key", "secret", true])[0]! & 0xf0).toBe(0x10);
    expect(encode([":method", "GET", true])[0]! & 0xf0).toBe(0x10);
  }
  const cookie: [string, string] = ["cookie", "session=8f14e45fceea167a5a36dedd4bea2543"];
  encode(cookie);
  expect(encode(cookie)).toHaveLength(1);
  expect(encode([...cookie, true])[0]! & 0xf0, "also when it is in the table").toBe(0x10);
});

test("a field of half the table stays outside, and drives nothing out", () => {
  const encode = connection();
  encode(["x-small", "value"]);
  expect(encode(["x-large", "v".repeat(2100)])[0]! & 0xf0).toBe(0);
  expect(encode(["x-small", "value"])).toHaveLength(1);
});

test("more names than are remembered do not drive out one that comes between them", () => {
  const encode = connection();
  for (let n = 0; n < 400; n++) encode([`x-${n}`, ""], ["x-same", "value"]);
  expect(encode(["x-same", "value"])[0]! & 0x80).toBe(0x80);
});

test("without a table, it says so first and then uses none", () => {
  const encode = connection(0);
  expect(encode(["x-a", "1"]).toString("hex")).toMatch(/^2000/);
  expect(encode(["x-a", "1"])[0]).toBe(0);
});

test("what the peer allows is followed, and said in the next block, the smallest of what it was too", () => {
  const encoder = new HpackEncoder(8192);
  const target = Buffer.alloc(1000);
  const begun = (): string => target.toString("hex", 0, encoder.begin(target, 0));
  expect(begun()).toBe("");
  encoder.setPeerTableBytes(4096);
  expect(begun()).toBe("");
  encoder.setPeerTableBytes(0);
  encoder.setPeerTableBytes(100);
  expect(begun(), "0, then 100").toBe("203f45");
  expect(begun()).toBe("");
  encoder.setPeerTableBytes(10);
  encoder.setPeerTableBytes(100);
  expect(begun(), "10, then 100").toBe("2a3f45");
  encoder.setPeerTableBytes(2 ** 32 - 1);
  expect(begun(), "never more than our own limit").toBe("3fe13f");
});

test.each([4096, 100, 0])("a block that is abandoned leaves both tables empty, of %i bytes at most", (maxBytes) => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const target = Buffer.alloc(1000);
  const encode = (name: string, value: string): number => encoder.field(target, encoder.begin(target, 0), name, value);
  const decode = (end: number): string => {
    let seen = "";
    decoder.decode(target, 0, end, { field: (name, value) => void (seen = `${name}: ${value}`) });
    return seen;
  };
  expect(decode(encode("x-a", "1"))).toBe("x-a: 1");
  encoder.setPeerTableBytes(maxBytes);
  encode("x-lost", "2");
  encoder.abandon();
  expect(decode(encode("x-b", "3"))).toBe("x-b: 3");
  // The largest table is said in each block only until it is known.
  expect(target[0]! & 0xe0).toBe(0x20);
  for (const [name, value] of [
    ["x-b", "3"],
    ["x-a", "1"],
    ["x-lost", "2"],
  ] as const) {
    const end = encode(name, value);
    expect(target[0]! & 0xe0).not.toBe(0x20);
    expect(decode(end)).toBe(`${name}: ${value}`);
  }
});
