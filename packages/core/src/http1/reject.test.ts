import { RequestHeader } from "@sluice/http";
import { expect, test } from "vitest";
import { normaliseTarget } from "./request-rules.ts";
import { scanFields } from "./scan-fields.ts";

function refusalOf(head: string): string {
  const buffer = Buffer.from(`${head}\r\n\r\n`, "latin1");
  try {
    scanFields(buffer, 0, buffer.length, { maxHeadBytes: 65_536, maxFields: 100 }, false);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("not refused");
}

test.for([
  ["Authorization : Basic s3cret", 'space between field name and colon: "Authorization :…"'],
  ["Cookie: a=s3cret\0", 'byte 0x00 in a value: "Cookie:…"'],
  ["Cookie: a=s3cret\rb", 'a CR without LF in "Cookie:…"'],
  ["Cookie: a=s3cret\nX: y", 'a line ends with LF alone: "Cookie:…"'],
  ["Authorization Basic s3cret", 'space between field name and colon: "Authorization…"'],
  ["Authorization\r\n", 'a line without a colon: "Authorization"'],
  ["Cook[ie: s3cret", 'byte 0x5b in a field name: "Cook[ie:…"'],
  ["Cookie: a=1;\r\n s3cret", "a folded line behind field 1"],
  ["A: b\r\n: s3cret", "a field without a name, behind field 1"],
] as const)("%j is refused with its name, and without its value", ([head, reason]) => {
  const message = refusalOf(head);
  expect(message).toContain(reason);
  expect(message).not.toContain("s3cret");
});

test("a target with a password is refused without it", () => {
  const request = RequestHeader.build("GET", "http://user:s3cret@host.test/");
  expect(() => normaliseTarget(request)).toThrow('a target without a valid host: "…@host.test"');
});
