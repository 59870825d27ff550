import { expect, test } from "vitest";
import { scrub, toSecrets } from "./scrub.ts";

test("secrets are struck out wherever they are, the longer before the shorter, also as they were encoded", () => {
  const secrets = toSecrets(["abcdef", "abcdef-and-more", "a%20b%2Fc+d", "short", ""]);
  const event = { text: "x abcdef-and-more abcdefg", deep: [{ path: "/a b/c d/?a%20b%2Fc+d" }], number: 5, none: null };
  expect(scrub(event, secrets)).toEqual({
    text: "x [filtered] [filtered]g",
    deep: [{ path: "/[filtered]/?[filtered]" }],
    number: 5,
    none: null,
  });
  expect(scrub("short", secrets)).toBe("short");
});

test("what cannot be decoded, and what has no end, does no harm", () => {
  const secrets = toSecrets(["%E0%A4%A", "secret"]);
  const circle: Record<string, unknown> = { text: "secret %E0%A4%A" };
  circle["self"] = circle;
  expect(scrub(circle, secrets)["text"]).toBe("[filtered] [filtered]");
});
