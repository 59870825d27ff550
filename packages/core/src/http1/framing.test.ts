import { HeaderFields } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { Framing, parseLength, trimOws } from "./framing.ts";

function read(...raw: string[]): Framing {
  const framing = new Framing();
  framing.read(new HeaderFields(raw));
  return framing;
}

describe("Content-Length", () => {
  test("is none, or the one there is", () => {
    expect(read("A", "b").contentLength).toBe(-1);
    expect(read("content-LENGTH", "12").contentLength).toBe(12);
    expect(read("Content-Length", "0").contentLength).toBe(0);
    expect(read("Content-Length", String(Number.MAX_SAFE_INTEGER)).contentLength).toBe(Number.MAX_SAFE_INTEGER);
  });

  test.for([
    "",
    " ",
    "-1",
    "+1",
    "1.0",
    "1e1",
    "0x1",
    "1 1",
    "1,1",
    "1a",
    "a",
    "\u00b2",
    "9007199254740992",
    "1".repeat(30),
  ])("%j is refused", (value) => {
    expect(parseLength(value)).toBe(-1);
    expect(() => read("Content-Length", value)).toThrow(
      expect.objectContaining({ type: "InvalidHTTPHeader", status: 400 }),
    );
  });

  test("two are refused, even if equal; beside Transfer-Encoding none is looked at", () => {
    expect(() => read("Content-Length", "1", "CONTENT-LENGTH", "1")).toThrow("more than one Content-Length");
    expect(read("Content-Length", "1", "Transfer-Encoding", "chunked", "Content-Length", "x").contentLength).toBe(-1);
  });
});

describe("Transfer-Encoding", () => {
  test.for(["chunked", "CHUNKED", " chunked ", ", , chunked", "chunked,\t"])("%j is chunked", (value) => {
    expect(read("transfer-encoding", value)).toMatchObject({
      chunked: true,
      hasTransferEncoding: true,
      contradictory: false,
    });
  });

  test.for([
    ["", 400],
    ["identity", 400],
    ["gzip", 400],
    ["chunked, identity", 400],
    ["chunked, gzip", 400],
    ["chunked, chunked", 400],
    ["gzip, chunked, chunked", 400],
    ["chunked\u00a0", 400],
    ["\u000bchunked", 400],
    ["gzip, chunked", 501],
    ["identity, chunked", 501],
  ] as const)("%j is refused with %i", ([value, status]) => {
    expect(() => read("Transfer-Encoding", value)).toThrow(
      expect.objectContaining({ type: "InvalidHTTPHeader", status }),
    );
  });

  test("lines count as one list", () => {
    expect(() => read("Transfer-Encoding", "chunked", "Transfer-Encoding", "identity")).toThrow(
      "does not end in chunked",
    );
    expect(() => read("Transfer-Encoding", "gzip", "A", "b", "Transfer-Encoding", "chunked")).toThrow("not understood");
  });

  test("beside Content-Length is a contradiction", () => {
    expect(read("Content-Length", "1", "Transfer-Encoding", "chunked").contradictory).toBe(true);
    expect(read("Content-Length", "1").contradictory).toBe(false);
  });
});

describe("Connection", () => {
  test.for([
    ["close", true, false, false],
    ["CLOSE", true, false, false],
    ["keep-alive", false, true, false],
    ["Keep-Alive", false, true, false],
    ["upgrade", false, false, true],
    ["upgrade, close", true, false, true],
    ["close,keep-alive", true, true, false],
    [" foo ,\tclose\t", true, false, false],
    ["closed", false, false, false],
    ["close;q=1", false, false, false],
    ["close\u00a0", false, false, false],
    ["", false, false, false],
  ] as const)("%j", ([value, close, keepAlive, connectionUpgrade]) => {
    expect(read("Connection", value)).toMatchObject({ close, keepAlive, connectionUpgrade });
  });

  test("lines count as one list", () => {
    expect(read("Connection", "a", "X", "y", "connection", "close")).toMatchObject({
      close: true,
    });
  });
});

test("counts Host fields", () => {
  expect(read("A", "b").hosts).toBe(0);
  expect(read("Host", "a", "hOST", "b", "Hosts", "c").hosts).toBe(2);
});

test("one head leaves nothing behind for the next", () => {
  const framing = new Framing();
  framing.read(
    new HeaderFields([
      "Host",
      "a",
      "Connection",
      "close, keep-alive, upgrade",
      "Transfer-Encoding",
      "chunked",
      "Content-Length",
      "1",
    ]),
  );
  framing.read(new HeaderFields(["Keep-Alive", "timeout=5"]));
  expect(framing.keepAliveTimeoutSeconds).toBe(5);
  framing.read(new HeaderFields());
  expect(framing).toMatchObject({
    contentLength: -1,
    chunked: false,
    close: false,
    keepAlive: false,
    connectionUpgrade: false,
    hosts: 0,
    keepAliveTimeoutSeconds: -1,
    hasTransferEncoding: false,
    contradictory: false,
  });
});

test("one head that was refused leaves nothing behind either", () => {
  const framing = new Framing();
  expect(() => framing.read(new HeaderFields(["Content-Length", "1", "Content-Length", "2"]))).toThrow("more than one");
  framing.read(new HeaderFields(["Content-Length", "3"]));
  expect(framing.contentLength).toBe(3);
});

test("trimOws takes SP and HTAB away and nothing else", () => {
  expect(trimOws(" \t a b \t")).toBe("a b");
  expect(trimOws("\u00a0a\u000b")).toBe("\u00a0a\u000b");
});
