import { expect, test } from "vitest";
import { appendBytes } from "./append-bytes.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

test("bytes that come one by one are copied to few buffers, and stay what they are", () => {
  const text = "0123456789abcdef".repeat(4096);
  let buffer = bytes(text[0]!);
  const seen = new Set<Buffer>();
  let copied = 0;
  for (let end = 1; end < text.length; end++) {
    const before = buffer;
    buffer = appendBytes(buffer, 0, end, bytes(`${text[end]!}stale`), 1);
    if (buffer !== before) copied += end;
    seen.add(buffer);
  }
  expect(buffer.toString("latin1", 0, text.length)).toBe(text);
  expect(seen.size).toBeLessThan(15);
  expect(copied).toBeLessThan(3 * text.length);
});

test("only what is in use is taken along", () => {
  const joined = appendBytes(bytes("used-rest-stale"), 5, 9, bytes("-more-stale"), 5);
  expect(joined.toString("latin1", 0, 9)).toBe("rest-more");
});

test("a buffer of somebody else is not written to, even if there is room", () => {
  const foreign = bytes("ab.....");
  const joined = appendBytes(foreign, 0, 2, bytes("cd"), 2);
  expect(joined).not.toBe(foreign);
  expect([foreign.toString(), joined.toString("latin1", 0, 4)]).toEqual(["ab.....", "abcd"]);
});

test("what was taken out of a buffer before stays as it is", () => {
  const first = appendBytes(bytes("ab"), 0, 2, bytes("cd"), 2);
  const taken = first.subarray(0, 4);
  expect(appendBytes(first, 4, 4, bytes("ef"), 2)).toBe(first);
  expect([taken.toString(), first.toString("latin1", 4, 6)]).toEqual(["abcd", "ef"]);
});
