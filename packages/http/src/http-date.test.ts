import { expect, test } from "vitest";
import { formatHttpDate, httpDateNow, parseHttpDate } from "./http-date.ts";

test("an IMF-fixdate, two digits for the day", () => {
  expect(formatHttpDate(1000)).toBe("Thu, 01 Jan 1970 00:00:01 GMT");
});

test("the cached date changes with the second, in both directions", () => {
  expect(httpDateNow(1999)).toBe("Thu, 01 Jan 1970 00:00:01 GMT");
  expect(httpDateNow(2000)).toBe("Thu, 01 Jan 1970 00:00:02 GMT");
  expect(httpDateNow(1000)).toBe("Thu, 01 Jan 1970 00:00:01 GMT");
});

test("reads the three forms of RFC 9110", () => {
  const expected = Date.UTC(1994, 10, 6, 8, 49, 37);
  expect(parseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT")).toBe(expected);
  expect(parseHttpDate("Sunday, 06-Nov-94 08:49:37 GMT", Date.UTC(2026, 0))).toBe(expected);
  expect(parseHttpDate("Sun Nov  6 08:49:37 1994")).toBe(expected);
});

test("a two-digit year over fifty years ahead belongs to the past", () => {
  const now = Date.UTC(2026, 0);
  expect(parseHttpDate("Friday, 01-Jan-76 00:00:00 GMT", now)).toBe(Date.UTC(2076, 0));
  expect(parseHttpDate("Saturday, 01-Jan-77 00:00:00 GMT", now)).toBe(Date.UTC(1977, 0));
});

test.each([
  "",
  "0",
  "Sun, 06 Nov 1994 08:49:37",
  "Sun, 31 Feb 1994 08:49:37 GMT",
  "Sun, 06 Foo 1994 08:49:37 GMT",
  "Sun, 06 Nov 1994 24:00:00 GMT",
  "Xyz, 06 Nov 1994 08:49:37 GMT",
  "Sun, 6 Nov 1994 08:49:37 GMT",
])("%j is no date", (text) => {
  expect(parseHttpDate(text)).toBeUndefined();
});
