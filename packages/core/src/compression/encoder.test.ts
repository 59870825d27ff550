import * as fc from "fast-check";
import { ProxyError } from "@sluice/error";
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  gunzipSync,
  gzipSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import { describe, expect, test } from "vitest";
import { CompressionDictionary } from "./compression-dictionary.ts";
import { DECOMPRESSION_ALGORITHMS, MAX_LEVELS, type CompressionAlgorithm } from "./content-coding.ts";
import { createDecoder, createEncoder, flushKind, type EncoderOptions } from "./encoder.ts";
import type { PieceStream } from "./piece-stream.ts";

const NO_LIMITS = { maxBytes: Number.POSITIVE_INFINITY, maxRatio: Number.POSITIVE_INFINITY };
const dictionary = new CompressionDictionary(Buffer.from("the quick brown fox jumps over the lazy dog. ".repeat(9)));

const encode = {
  gzip: gzipSync,
  // The highest quality, its default, takes seconds for a large body.
  br: (bytes: Uint8Array) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }),
  zstd: zstdCompressSync,
};
const decode = {
  gzip: gunzipSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
  // The first 40 bytes are a frame that Zstandard skips.
  dcz: (bytes: Uint8Array) => zstdDecompressSync(bytes, { dictionary: dictionary.bytes }),
};

function encoder(algorithm: CompressionAlgorithm, options: Partial<EncoderOptions> = {}): PieceStream {
  return createEncoder(algorithm, { level: 6, ...(algorithm === "dcz" && { dictionary }), ...options });
}

/** Everything that comes of `pieces`, in one. */
async function through(stream: PieceStream, pieces: readonly Uint8Array[]): Promise<Buffer> {
  const made: Uint8Array[] = [];
  for (const piece of pieces) made.push(await stream.write(piece));
  made.push(await stream.end());
  return Buffer.concat(made);
}

const anyPieces = fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(70_000).fill(65))), {
  maxLength: 8,
});

describe.each(["gzip", "br", "zstd", "dcz"] as const)("%s", (algorithm) => {
  test("what is compressed comes back, whatever the pieces, the level and the flushes", () =>
    fc.assert(
      fc.asyncProperty(
        anyPieces,
        fc.integer({ min: 1, max: Math.min(MAX_LEVELS[algorithm], 9) }),
        fc.boolean(),
        fc.boolean(),
        async (pieces, level, live, flushes) => {
          const stream = encoder(algorithm, { level, live });
          const made: Uint8Array[] = [];
          for (const piece of pieces) {
            made.push(await stream.write(piece));
            if (flushes) made.push(await stream.flush(flushKind(algorithm)));
          }
          made.push(await stream.end());
          const whole = Buffer.concat(pieces);
          expect(decode[algorithm](Buffer.concat(made)).equals(whole)).toBe(true);
          expect(stream.bytesIn).toBe(whole.length);
          expect(stream.bytesOut).toBe(Buffer.concat(made).length);
        },
      ),
      { numRuns: 40 },
    ));

  test("the highest level works, within the window that every client has", async () => {
    const stream = encoder(algorithm, { level: MAX_LEVELS[algorithm] });
    const made = await through(stream, [Buffer.alloc(100_000, "abc")]);
    const limits = { params: { [constants.ZSTD_d_windowLogMax]: 23 }, dictionary: dictionary.bytes };
    const back =
      algorithm === "zstd" || algorithm === "dcz" ? zstdDecompressSync(made, limits) : decode[algorithm](made);
    expect(back.equals(Buffer.alloc(100_000, "abc"))).toBe(true);
  });

  test("each piece of a live body can be read at once", async () => {
    const stream = encoder(algorithm, { live: true });
    const first = await stream.write(Buffer.from("data: 1\n\n"));
    expect(readable(algorithm, first)).toBe("data: 1\n\n");
    stream.destroy();
  });

  test("so can what was flushed", async () => {
    const stream = encoder(algorithm);
    const first = await stream.write(Buffer.from("data: 1\n\n"));
    const rest = await stream.flush(flushKind(algorithm));
    expect(readable(algorithm, first)).toBe("");
    expect(readable(algorithm, Buffer.concat([first, rest]))).toBe("data: 1\n\n");
    stream.destroy();
  });

  test("an empty body is one that ends", async () => {
    expect(decode[algorithm](await through(encoder(algorithm), []))).toHaveLength(0);
  });
});

/** What a reader sees of a stream that has not ended. */
function readable(algorithm: CompressionAlgorithm, bytes: Uint8Array): string {
  if (bytes.length === 0) return "";
  const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH, ZSTD_e_flush } = constants;
  switch (algorithm) {
    case "gzip":
      return gunzipSync(bytes, { finishFlush: Z_SYNC_FLUSH }).toString();
    case "br":
      return brotliDecompressSync(bytes, { finishFlush: BROTLI_OPERATION_FLUSH }).toString();
    default:
      return zstdDecompressSync(bytes, { finishFlush: ZSTD_e_flush, dictionary: dictionary.bytes }).toString();
  }
}

test("gzip: begins and ends as RFC 1952 says", async () => {
  const made = await through(encoder("gzip"), [Buffer.from("abcdefg")]);
  expect(made.subarray(0, 3).toString("hex")).toBe("1f8b08");
  expect(made.subarray(-8).toString("hex")).toBe("a66a2a3107000000");
});

test("zstd: a small piece is held back, and the end gives all", async () => {
  const stream = encoder("zstd", { level: 11 });
  const piece = Buffer.from("the same again and again; the same again and again; the same.");
  expect(piece).toHaveLength(61);
  expect(await stream.write(piece)).toHaveLength(0);
  const made = await stream.end();
  expect(made.subarray(0, 4)).toEqual(Buffer.from("28b52ffd", "hex"));
  expect(made.length).toBeLessThan(piece.length);
});

describe("dcz", () => {
  const head = Buffer.concat([Buffer.from("5e2a4d1820000000", "hex"), dictionary.hash]);

  test("begins once with its magic and the hash of the dictionary", async () => {
    const stream = encoder("dcz");
    const first = await stream.write(dictionary.bytes);
    expect(first).toEqual(head);
    const made = Buffer.concat([first, await stream.end()]);
    expect(made.subarray(40, 44).toString("hex")).toBe("28b52ffd");
    expect(made.indexOf(head, 1)).toBe(-1);
    // The body is the dictionary.
    expect(made.length).toBeLessThan(80);
  });

  test("also when the body is empty", async () => {
    expect((await through(encoder("dcz"), [])).subarray(0, 40)).toEqual(head);
  });

  test("needs a dictionary", () => {
    expect(() => createEncoder("dcz", { level: 3 })).toThrow("dcz needs a dictionary");
  });
});

describe.each(DECOMPRESSION_ALGORITHMS)("decompressing %s", (algorithm) => {
  const body = Buffer.from("a text, and what is left of it. ".repeat(50));
  const coded = encode[algorithm](body);

  test("gives the body, however it was cut into pieces", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.nat(coded.length), { maxLength: 6 }), async (cuts) => {
        const at = [0, ...cuts.toSorted((a, b) => a - b), coded.length];
        const pieces = at.slice(1).map((to, index) => coded.subarray(at[index], to));
        const made = await through(
          createDecoder(algorithm, NO_LIMITS),
          pieces.filter((piece) => piece.length > 0),
        );
        expect(made.equals(body)).toBe(true);
      }),
      { numRuns: 40 },
    ));

  test.each([
    ["was cut short", [coded.subarray(0, -1)], "is not what it says to be, or was cut short"],
    ["goes on after its end", [Buffer.concat([coded, Buffer.from("xyz")])], undefined],
    ["goes on after its end, in a later piece", [coded, Buffer.from("xyz")], undefined],
    ["is padded", [Buffer.concat([coded, Buffer.alloc(3)])], "has bytes after its end"],
    ["is something else", [Buffer.from("<html>plain</html>")], "is not what it says to be, or was cut short"],
  ])("a body that %s fails", async (_, pieces, message) => {
    const failure: unknown = await through(createDecoder(algorithm, NO_LIMITS), pieces).catch((error) => error);
    expect(failure).toBeInstanceOf(ProxyError);
    expect(failure).toMatchObject({ type: "InvalidContentCoding", source: "upstream" });
    expect(String(failure)).toContain(`(Content-Encoding: ${algorithm}) ${message ?? ""}`);
  });

  test("a failure stays: no piece after it passes", async () => {
    const stream = createDecoder(algorithm, NO_LIMITS);
    await expect(stream.write(Buffer.from("<html>plain</html> and more of it"))).rejects.toThrow(
      "InvalidContentCoding",
    );
    await expect(stream.write(coded)).rejects.toThrow("InvalidContentCoding");
    await expect(stream.end()).rejects.toThrow("InvalidContentCoding");
  });

  test("a body of no bytes is an empty one, whatever its coding", async () => {
    expect(await through(createDecoder(algorithm, NO_LIMITS), [])).toHaveLength(0);
  });

  test("more than the limit is not decompressed", async () => {
    const limits = { ...NO_LIMITS, maxBytes: body.length };
    expect(await through(createDecoder(algorithm, limits), [coded])).toHaveLength(body.length);
    const less = createDecoder(algorithm, { ...NO_LIMITS, maxBytes: body.length - 1 });
    await expect(through(less, [coded])).rejects.toThrow(
      `decompresses to more than ${body.length - 1} bytes (maxDecompressedBytes)`,
    );
  });

  test("a bomb is found by its ratio, before it is in memory", async () => {
    const bomb = encode[algorithm](Buffer.alloc(64 * 1_048_576));
    const stream = createDecoder(algorithm, { ...NO_LIMITS, maxRatio: 100 });
    await expect(through(stream, [bomb])).rejects.toThrow("more than 100 times its length (maxDecompressionRatio)");
    expect(stream.bytesOut).toBeLessThan(Math.max(2 * 1_048_576, bomb.length * 101));
  });
});

test("gzip of several members is one body", async () => {
  const stream = createDecoder("gzip", NO_LIMITS);
  const made = await through(stream, [Buffer.concat([gzipSync("one, "), gzipSync("two, ")]), gzipSync("three")]);
  expect(made.toString()).toBe("one, two, three");
});

describe("calls", () => {
  test("come one at a time", async () => {
    const stream = encoder("gzip");
    const first = stream.write(Buffer.from("a"));
    await expect(stream.write(Buffer.from("b"))).rejects.toThrow("gzip: a call while another one waits");
    await first;
    await stream.end();
    await expect(stream.write(Buffer.from("c"))).rejects.toThrow("gzip: a call after the end");
  });

  test("one that waits fails when the stream is given up, and so do later ones", async () => {
    const stream = encoder("br");
    const waiting = stream.write(Buffer.alloc(100_000, "abc"));
    stream.destroy();
    await expect(waiting).rejects.toThrow("br: given up before its end");
    await expect(stream.end()).rejects.toThrow("br: given up before its end");
  });

  test("time and bytes are counted", async () => {
    const stream = encoder("gzip");
    await through(stream, [Buffer.alloc(1000)]);
    expect(stream.bytesIn).toBe(1000);
    expect(stream.bytesOut).toBeLessThan(1000);
    expect(stream.spentMs).toBeGreaterThan(0);
  });
});
