import { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { informationalHeadText, lastChunkText, requestHeadText, responseHeadText } from "./serialize.ts";

describe("a request head", () => {
  test("is written as it is, spelling and order included", () => {
    const header = RequestHeader.build("GET", "/a?b", [
      ["hOsT", "a.test"],
      ["X", "1"],
      ["x", "2"],
    ]);
    expect(requestHeadText(header, "none")).toBe("GET /a?b HTTP/1.1\r\nhOsT: a.test\r\nX: 1\r\nx: 2\r\n\r\n");
  });

  test("is always HTTP/1.1, whatever the client spoke", () => {
    const header = RequestHeader.build("GET", "/");
    header.version = "1.0";
    expect(requestHeadText(header, "none")).toBe("GET / HTTP/1.1\r\n\r\n");
  });

  test("keeps its Content-Length", () => {
    const header = RequestHeader.build("POST", "/", { "Content-Length": 5 });
    expect(requestHeadText(header, "content-length")).toBe("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
  });

  test("never has both Content-Length and Transfer-Encoding, nor two of the latter", () => {
    const header = RequestHeader.build("POST", "/", {
      "content-LENGTH": 5,
      "transfer-ENCODING": "gzip",
      CONNECTION: "x",
      A: "b",
    });
    expect(requestHeadText(header, "chunked")).toBe("POST / HTTP/1.1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n");
  });
});

describe("a response head", () => {
  const header = ResponseHeader.build(200, { Date: "now", A: "b" });

  test("gets what the session decided", () => {
    expect(responseHeadText(header, "none", undefined)).toBe("HTTP/1.1 200 OK\r\nDate: now\r\nA: b\r\n\r\n");
    expect(responseHeadText(header, "chunked", "close")).toBe(
      "HTTP/1.1 200 OK\r\nDate: now\r\nA: b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    );
  });

  test("that has an Upgrade says so in Connection, beside what the session decided", () => {
    const refused = ResponseHeader.build(426, { Date: "now", Upgrade: "echo/2" });
    const text = (connection: string | undefined): string =>
      responseHeadText(refused, "none", connection).split("\r\n").slice(2).join("|");
    expect([text(undefined), text("close")]).toEqual([
      "Upgrade: echo/2|Connection: upgrade||",
      "Upgrade: echo/2|Connection: close, upgrade||",
    ]);
    // A 101 says it already.
    const switched = responseHeadText(ResponseHeader.build(101, { Upgrade: "echo/2" }), "none", "upgrade");
    expect(switched).toMatch(/\r\nConnection: upgrade\r\n\r\n$/);
  });

  test("keeps its reason, even an empty one", () => {
    const own = ResponseHeader.build(200, { date: "now" });
    own.reason = "Just Fine";
    expect(responseHeadText(own, "none", undefined)).toMatch(/^HTTP\/1\.1 200 Just Fine\r\n/);
    own.reason = "";
    expect(responseHeadText(own, "none", undefined)).toMatch(/^HTTP\/1\.1 200 \r\n/);
  });

  test("gets a Date where it has none, and only there", () => {
    expect(responseHeadText(ResponseHeader.build(200), "none", undefined)).toMatch(/\r\nDate: [^\r]+ GMT\r\n\r\n$/);
    expect(responseHeadText(ResponseHeader.build(200, { dATE: "now" }), "none", undefined)).toBe(
      "HTTP/1.1 200 OK\r\ndATE: now\r\n\r\n",
    );
    // One head's Date is not another's.
    expect(responseHeadText(ResponseHeader.build(200, { Etag: "x" }), "none", undefined)).toContain("\r\nDate: ");
  });

  test("fields that only the session may write are left out", () => {
    const own = ResponseHeader.build(200, {
      Date: "now",
      Connection: "x",
      "Transfer-Encoding": "y",
      "Content-Length": 3,
    });
    expect(responseHeadText(own, "content-length", undefined)).toBe(
      "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 3\r\n\r\n",
    );
    expect(responseHeadText(own, "chunked", undefined)).not.toContain("Content-Length");
  });
});

test("an interim head has its own fields and no more", () => {
  expect(informationalHeadText(ResponseHeader.build(103, { Link: "</a>", "Transfer-Encoding": "x" }))).toBe(
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
  );
});

describe("the last chunk", () => {
  test("without trailers", () => {
    expect(lastChunkText(undefined)).toBe("0\r\n\r\n");
    expect(lastChunkText(new HeaderFields())).toBe("0\r\n\r\n");
  });

  test("with trailers", () => {
    expect(lastChunkText(HeaderFields.from({ "X-Sum": "1", b: "2" }))).toBe("0\r\nX-Sum: 1\r\nb: 2\r\n\r\n");
  });

  test.for([
    "Content-Length",
    "transfer-encoding",
    "HOST",
    "Trailer",
    "Authorization",
    "Set-Cookie",
    "Content-Type",
    "Connection",
    "TE",
  ])("%s has no place behind a body", (name) => {
    expect(
      lastChunkText(
        HeaderFields.from([
          [name, "x"],
          ["A", "b"],
        ]),
      ),
    ).toBe("0\r\nA: b\r\n\r\n");
  });
});
