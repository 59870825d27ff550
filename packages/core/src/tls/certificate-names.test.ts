import { describe, expect, test } from "vitest";
import { CertificateNames } from "./certificate-names.ts";

const names = new CertificateNames<string>();
for (const name of ["a.test", "*.a.test", "www.a.test", "*.DEEP.a.test"]) names.set(name, name);

test.each([
  ["a.test", "a.test"],
  ["www.a.test", "www.a.test"],
  ["WWW.A.TEST.", "www.a.test"],
  ["other.a.test", "*.a.test"],
  ["x.deep.a.test", "*.DEEP.a.test"],
  ["x.other.a.test", undefined],
  ["test", undefined],
  [".a.test", undefined],
  ["", undefined],
])("%s is served by %s", (asked, found) => {
  expect(names.find(asked)).toBe(found);
});

test("the name in just this form is another question", () => {
  expect(names.get("*.a.test")).toBe("*.a.test");
  expect(names.get("other.a.test")).toBeUndefined();
});

describe("isName", () => {
  test.each(["a.test", "*.a.test", "A.Test.", "x_y.a.test", "localhost", "xn--bcher-kva.test", "1.2.3.test"])(
    "%s is one",
    (name) => expect(CertificateNames.isName(name)).toBe(true),
  );
  test.each(["", "*", "*.", "a.*.test", "*a.test", "a b", "-a.test", "a-.test", "a..test", "https://a.test"])(
    "%j is none",
    (name) => expect(CertificateNames.isName(name)).toBe(false),
  );
});
