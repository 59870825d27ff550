import { HeaderFields, ResponseHeader } from "@sluice/http";
import { expect, test } from "vitest";
import { CANCEL, http2CodeName, HTTP_1_1_REQUIRED } from "./error-codes.ts";
import { appendFields, fieldListBytes, fieldObject, goesByHttp2 } from "./fields.ts";

test("a list has every field in its order, without space around values, and without those of one connection", () => {
  const fields = HeaderFields.from([
    ["X-A", "\t1 "],
    ["Connection", "close"],
    ["TE", "trailers"],
    ["te", "gzip"],
    ["HTTP2-Settings", "x"],
    ["X-A", " "],
    ["x-b", ""],
  ]);
  const list = [":status", "200"];
  appendFields(list, fields, goesByHttp2);
  expect(list).toEqual([":status", "200", "X-A", "1", "TE", "trailers", "X-A", "", "x-b", ""]);
});

test("a NUL, which ends a name or a value for nghttp2, is refused in what was put into a head unchecked", () => {
  expect(() => appendFields([], new HeaderFields(["x-a", "1\0x-b"]), goesByHttp2)).toThrow("value of x-a");
  expect(() => appendFields([], new HeaderFields(["x\0a", "1"]), goesByHttp2)).toThrow("field name");
});

test("an object has the values of equal names together; nothing, if none is left", () => {
  const head = ResponseHeader.build(103, [
    ["Link", "</a>"],
    ["X", "1"],
    ["link", "</b>"],
    ["LINK", "</c>"],
    ["Keep-Alive", "5"],
  ]);
  expect({ ...fieldObject(head, false) }).toEqual({ link: ["</a>", "</b>", "</c>"], x: "1" });
  expect(fieldObject(HeaderFields.from({ Connection: "x" }), false)).toBeUndefined();
});

test("trailers have none that frame, route or authorise", () => {
  const trailers = HeaderFields.from({ "Content-Length": "1", Host: "a", Authorization: "b", "grpc-status": "0" });
  expect({ ...fieldObject(trailers, true) }).toEqual({ "grpc-status": "0" });
});

test("the size of a list counts 32 bytes more for each field", () => {
  expect(fieldListBytes(["a", "bc", "d", ""])).toBe(4 + 64);
});

test("codes have names, unknown ones numbers", () => {
  expect([CANCEL, HTTP_1_1_REQUIRED, 255].map(http2CodeName)).toEqual(["CANCEL", "HTTP_1_1_REQUIRED", "0xff"]);
});
