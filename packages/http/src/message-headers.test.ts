import { describe, expect, test } from "vitest";
import { RequestHeader } from "./request-header.ts";
import { ResponseHeader } from "./response-header.ts";

describe("RequestHeader", () => {
  test("takes any token as method and any visible bytes as target", () => {
    const high = Buffer.from([0x2f, 0xf0, 0x90, 0x80]).toString("latin1");
    const header = RequestHeader.build("PURGE", high, { Host: "a" });
    expect([header.method, header.target, header.version, header.get("host")]).toEqual(["PURGE", high, "1.1", "a"]);
  });

  test.each([
    ["G ET", "/", /invalid method/],
    ["", "/", /invalid method/],
    ["GET", "", /invalid request target/],
    ["GET", "/a b", /invalid request target/],
    ["GET", "/a\r\nX: y", /invalid request target/],
    ["GET", "/a#b", /invalid request target/],
  ])("refuses %j %j", (method, target, message) => {
    expect(() => RequestHeader.build(method, target)).toThrow(message);
    const header = RequestHeader.build("GET", "/");
    expect(() => {
      header.method = method;
      header.target = target;
    }).toThrow(message);
  });

  test("path, query and file extension are read off the target as it stands", () => {
    const header = RequestHeader.build("GET", "/a.b/c.tar.gz?x=/y.z");
    expect([header.path, header.query, header.fileExtension]).toEqual(["/a.b/c.tar.gz", "x=/y.z", "gz"]);
    header.target = "/a.b/c";
    expect([header.path, header.query, header.fileExtension]).toEqual(["/a.b/c", undefined, undefined]);
  });

  test("a clone shares nothing", () => {
    const header = RequestHeader.build("GET", "/", { a: "1" });
    header.sendEndStream = false;
    const copy = header.clone();
    copy.set("a", "2");
    copy.target = "/other";
    expect([header.get("a"), header.target, copy.sendEndStream]).toEqual(["1", "/", false]);
  });
});

describe("ResponseHeader", () => {
  test("reason: standard, own, empty, and back to standard", () => {
    const header = ResponseHeader.build(200);
    expect(header.reason).toBe("OK");
    header.reason = "FooBar";
    expect(header.reason).toBe("FooBar");
    header.reason = "";
    expect(header.reason).toBe("");
    header.reason = "OK";
    header.status = 404;
    expect(header.reason).toBe("Not Found");
    header.reason = undefined;
    header.status = 799;
    expect(header.reason).toBe("");
  });

  test("refuses a reason with line ends, and a status out of range", () => {
    const header = ResponseHeader.build(200);
    expect(() => {
      header.reason = "OK\r\nX: y";
    }).toThrow(/invalid reason phrase/);
    for (const status of [99, 1000, 200.5, Number.NaN])
      expect(() => ResponseHeader.build(status)).toThrow(/100 to 999/);
  });

  test("setContentLength replaces every earlier one", () => {
    const header = ResponseHeader.build(200, [
      ["content-length", "1"],
      ["Content-Length", "2"],
    ]);
    expect(header.setContentLength(10).getAll("content-length")).toEqual(["10"]);
    expect(() => header.setContentLength(-1)).toThrow(/non-negative/);
    expect(() => header.setContentLength(1.5)).toThrow(/non-negative/);
  });

  test("a clone keeps the phrase and shares nothing", () => {
    const header = ResponseHeader.build(200, { a: "1" });
    header.reason = "Fine";
    const copy = header.clone();
    copy.set("a", "2");
    copy.status = 500;
    expect([header.get("a"), header.status, copy.reason]).toEqual(["1", 200, "Fine"]);
  });
});
