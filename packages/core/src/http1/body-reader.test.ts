import { ProxyError } from "@sluice/error";
import { describe, expect, test } from "vitest";
import { BodyReader } from "./body-reader.ts";

const LIMITS = { maxHeadBytes: 65_536, maxFields: 4 };

interface Read {
  pieces: string[];
  done: boolean;
  /** Bytes behind the message. */
  rest: string;
  error?: string;
}

/** Feeds one buffer after another, as a connection does. */
function read(
  start: (reader: BodyReader) => void,
  buffers: string[],
  lenient = false,
  reader = new BodyReader(LIMITS, lenient),
): Read {
  start(reader);
  const pieces: string[] = [];
  let rest = "";
  try {
    for (const text of buffers) {
      const buffer = Buffer.from(text, "latin1");
      let at = 0;
      while (at < buffer.length && !reader.done) {
        const next = reader.read(buffer, at, buffer.length);
        if (reader.piece !== undefined) pieces.push(reader.piece.toString("latin1"));
        reader.piece = undefined;
        // It may take nothing only when the message is over.
        if (next === at && !reader.done) throw new Error("no progress");
        at = next;
      }
      rest += text.slice(at);
    }
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    return { pieces, done: reader.done, rest, error: error.type };
  }
  return { pieces, done: reader.done, rest };
}

const chunked = (reader: BodyReader): void => reader.startChunked();
const length =
  (n: number) =>
  (reader: BodyReader): void =>
    reader.startLength(n);

describe("Content-Length", () => {
  test.for([
    [3, ["abc"], ["abc"], true, ""],
    [3, ["a", "bc"], ["a", "bc"], true, ""],
    [3, ["a"], ["a"], false, ""],
    [3, ["a", "bcd"], ["a", "bc"], true, "d"],
    [3, ["abcdef"], ["abc"], true, "def"],
    [0, ["abc"], [], true, "abc"],
  ] as const)("%i of %j", ([n, buffers, pieces, done, rest]) => {
    expect(read(length(n), [...buffers])).toEqual({ pieces, done, rest });
  });

  test("pieces are views, not copies", () => {
    const reader = new BodyReader(LIMITS, false);
    reader.startLength(3);
    const buffer = Buffer.from("abc");
    reader.read(buffer, 0, 3);
    expect(reader.piece).toBe(buffer);
  });
});

test("until the connection closes", () => {
  const reader = new BodyReader(LIMITS, false);
  expect(read((each) => each.startUntilClose(), ["a", "bc"], false, reader)).toEqual({
    pieces: ["a", "bc"],
    done: false,
    rest: "",
  });
  expect([reader.untilClose, reader.bytes]).toEqual([true, 3]);
  reader.endOfConnection();
  expect([reader.done, reader.untilClose]).toEqual([true, false]);
});

test("the end of the connection completes nothing but that", () => {
  for (const start of [length(3), chunked]) {
    const reader = new BodyReader(LIMITS, false);
    start(reader);
    reader.endOfConnection();
    expect(reader.done).toBe(false);
  }
});

test("no body is over from the start", () => {
  expect(read((reader) => reader.startEmpty(), ["abc"])).toEqual({ pieces: [], done: true, rest: "abc" });
});

// The table of http.md, section 4.4; an empty size line is refused here, and trailers are kept.
describe("chunked", () => {
  test.for<[string[], string[], Partial<Read>]>([
    [["0\r\n\r\n"], [], {}],
    [["0\r\n", "\r\n"], [], {}],
    [["0\r", "\n", "\r\n"], [], {}],
    [["0", "\r\n", "\r\n"], [], {}],
    [["0\r", "\n", "\r", "\n"], [], {}],
    [["0;aaaa\r\n\r\n"], [], {}],
    [["1\r\na\r\n", "0\r\n\r\n"], ["a"], {}],
    [["1\r\na\r", "\n0\r\n\r\n"], ["a"], {}],
    [["3\r\n", "abc\r", "\n0\r\n\r\n"], ["abc"], {}],
    [["3\r\n", "abc", "\r\n0\r\n\r\n"], ["abc"], {}],
    [["1\r\na\r\n2\r\nbc\r\n", "0\r\n\r\n"], ["a", "bc"], {}],
    [["3\r\na", "bc\r\n0\r\n\r\n"], ["a", "bc"], {}],
    [["1\r", "\na\r\n0\r\n\r", "\n"], ["a"], {}],
    [["1\r\na\r\n0", "\r", "\n", "\r", "\n"], ["a"], {}],
    [["1\r", "\na\r\n0\r\n\r", "\nabcd"], ["a"], { rest: "abcd" }],
    [["1\r\na\r\n2\r\nbc\r\n", "0\r\n\r\nabc"], ["a", "bc"], { rest: "abc" }],
    [["1\r\na\r\n0\r\n\r\nabc"], ["a"], { rest: "abc" }],
    [["1\r\na\r\n"], ["a"], { done: false }],
    [["1\r"], [], { done: false }],
    [["1\r\na\r\n0\r\nabc"], ["a"], { done: false }],
    [["0\r\nr\n"], [], { done: false, error: "InvalidTrailerEnd" }],
    [["1\r\na", "\rn"], ["a"], { done: false, error: "InvalidChunk" }],
    [["1\r\na", "r\n"], ["a"], { done: false, error: "InvalidChunk" }],
    [["1\r\na\r", "n0\r\n\r\n"], ["a"], { done: false, error: "InvalidChunk" }],
    [["1\r\na\r\n2\r\nbc", "r\n"], ["a", "bc"], { done: false, error: "InvalidChunk" }],
    [["\r\n"], [], { done: false, error: "InvalidChunk" }],
    [[";x\r\n"], [], { done: false, error: "InvalidChunk" }],
    [["1f\r", "\r"], [], { done: false, error: "InvalidChunk" }],
  ])("%j", ([buffers, pieces, expected]) => {
    expect(read(chunked, buffers)).toEqual({ pieces, done: true, rest: "", ...expected });
  });

  test("the largest size is 2^53-1", () => {
    expect(read(chunked, ["1fffffffffffff\r\n"]).error).toBeUndefined();
    expect(read(chunked, ["0000000000000003\r\nabc\r\n0\r\n\r\n"]).done).toBe(true);
    expect(read(chunked, ["20000000000000"]).error).toBe("InvalidChunk");
  });

  test("extensions may have 16,384 bytes in one message, all of them together", () => {
    const chunks = (n: number, bytes: number): string[] =>
      Array.from({ length: n }, () => `1;${"x".repeat(bytes)}\r\na\r\n`);
    expect(read(chunked, chunks(2, 8192)).error).toBeUndefined();
    expect(read(chunked, [...chunks(2, 8192), "1;x\r\n"]).error).toBe("InvalidChunk");
    const reader = new BodyReader(LIMITS, false);
    expect(read(chunked, [...chunks(2, 8192), "0\r\n\r\n"], false, reader).done).toBe(true);
    // The next message on the connection has its own.
    expect(read(chunked, [...chunks(2, 8192), "0\r\n\r\n"], false, reader).done).toBe(true);
  });

  test("space after a size is for the lenient, and only before an extension or the end", () => {
    expect(read(chunked, ["1 \r\na\r\n0\r\n\r\n"]).error).toBe("InvalidChunk");
    expect(read(chunked, ["1 \t", " \r\na\r\n0 ;x\r\n\r\n"], true)).toEqual({ pieces: ["a"], done: true, rest: "" });
    expect(read(chunked, ["1 1\r\n"], true).error).toBe("InvalidChunk");
    expect(read(chunked, [`1${" ".repeat(17_000)}\r\n`], true).error).toBe("InvalidChunk");
  });
});

describe("trailers", () => {
  function trailers(...buffers: string[]): unknown {
    const reader = new BodyReader(LIMITS, false);
    const result = read(chunked, buffers, false, reader);
    return result.error ?? (result.done ? reader.trailers?.raw : "incomplete");
  }

  test("are fields, in order, however they are cut", () => {
    const text = "1\r\na\r\n0\r\nabc: hi\r\ndef: bye\r\n\r\n";
    for (let at = 1; at < text.length; at++) {
      expect(trailers(text.slice(0, at), text.slice(at)), `cut after ${at}`).toEqual(["abc", "hi", "def", "bye"]);
    }
    expect(trailers(...text.split(""))).toEqual(["abc", "hi", "def", "bye"]);
  });

  test("are undefined if there are none, also after a message that had some", () => {
    const reader = new BodyReader(LIMITS, false);
    read(chunked, ["0\r\nA: b\r\n\r\n"], false, reader);
    expect(reader.trailers?.raw).toEqual(["A", "b"]);
    read(chunked, ["0\r\n\r\n"], false, reader);
    expect(reader.trailers).toBeUndefined();
  });

  test("do not keep the buffers they came in", () => {
    const reader = new BodyReader(LIMITS, false);
    reader.startChunked();
    const first = Buffer.from("0\r\nA: b");
    reader.read(first, 0, first.length);
    first.fill(0);
    const second = Buffer.from("c\r\n\r\n");
    reader.read(second, 0, second.length);
    second.fill(0);
    expect(reader.trailers?.raw).toEqual(["A", "bc"]);
  });

  test("are limited in number and bytes", () => {
    expect(trailers("0\r\nA:1\r\nB:1\r\nC:1\r\nD:1\r\n\r\n")).toHaveLength(8);
    expect(trailers("0\r\nA:1\r\nB:1\r\nC:1\r\nD:1\r\nE:1\r\n\r\n")).toBe("InvalidTrailerEnd");
    expect(trailers(`0\r\nA:${"x".repeat(16_378)}\r\n\r\n`)).toHaveLength(2);
    expect(trailers(`0\r\nA:${"x".repeat(16_379)}\r\n\r\n`)).toBe("InvalidTrailerEnd");
    expect(trailers("0\r\nA:", ..."x".repeat(100).split(""), "x".repeat(16_384))).toBe("InvalidTrailerEnd");
  });

  test("bytes behind them are not theirs", () => {
    const reader = new BodyReader(LIMITS, false);
    expect(read(chunked, ["0\r\nA: ", `b\r\n\r\n${"y".repeat(20_000)}`], false, reader).rest).toHaveLength(20_000);
    expect(reader.trailers?.raw).toEqual(["A", "b"]);
  });

  test("the fault in them is told as the cause", () => {
    const reader = new BodyReader(LIMITS, false);
    reader.startChunked();
    const buffer = Buffer.from("0\r\nA b: c\r\n\r\n");
    expect(() => reader.read(buffer, 0, buffer.length)).toThrow(
      /in a trailer section.*space between field name and colon/,
    );
  });
});

test("counts payload bytes, anew for each message", () => {
  const reader = new BodyReader(LIMITS, false);
  read(chunked, ["2;x\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n"], false, reader);
  expect(reader.bytes).toBe(3);
  read(length(2), ["ab"], false, reader);
  expect(reader.bytes).toBe(2);
});
