import type { Transform } from "node:stream";
import {
  constants,
  createBrotliCompress,
  createBrotliDecompress,
  createGunzip,
  createGzip,
  createZstdCompress,
  createZstdDecompress,
  type Zlib,
  type ZstdOptions,
} from "node:zlib";
import type { CompressionDictionary } from "./compression-dictionary.ts";
import type { CompressionAlgorithm, DecompressionAlgorithm } from "./content-coding.ts";
import { PieceStream, type DecodingLimits } from "./piece-stream.ts";

/** What is known of a body that helps to compress it. */
export interface EncoderOptions {
  /** In the algorithm's own range. */
  readonly level: number;
  /** Every piece goes out at once, whatever that costs in size. Default false. */
  readonly live?: boolean;
  /** It is text in UTF-8, or nearly. Default false. */
  readonly text?: boolean;
  /** How long it will be, as far as is known. */
  readonly bytes?: number | undefined;
  /** For `dcz`, which needs it. */
  readonly dictionary?: CompressionDictionary | undefined;
}

/** RFC 9659, section 3: 8 MiB, which is all that a client must be ready for. As a power of two. */
const ZSTD_WINDOW = 23;
/** From this level on Zstandard would take more. */
const ZSTD_WIDE_LEVEL = 20;
/** 512 KiB, as a power of two; beyond that the memory of each response grows more than its body shrinks. */
const BROTLI_WINDOW = 19;
/** RFC 9842, section 5: a skippable frame of Zstandard that holds the hash of the dictionary. */
const DCZ_MAGIC = Buffer.from([0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0]);
/** Fewer turns between the event loop and the threads, for what gets longer. */
const DECODED_CHUNK_BYTES = 65_536;

/** Compresses; each stream ends as its format demands, so that a reader can tell that it is whole. */
export function createEncoder(algorithm: CompressionAlgorithm, options: EncoderOptions): PieceStream {
  const stream = encoderStream(algorithm, options);
  if (algorithm !== "dcz") return new PieceStream(stream, { name: algorithm });
  const { dictionary } = options;
  if (dictionary === undefined) throw new TypeError("createEncoder: dcz needs a dictionary");
  return new PieceStream(stream, { name: algorithm, prefix: Buffer.concat([DCZ_MAGIC, dictionary.hash]) });
}

/** Decompresses; what is not whole, or more than it should be, fails as `InvalidContentCoding`. */
export function createDecoder(algorithm: DecompressionAlgorithm, limits: DecodingLimits): PieceStream {
  return new PieceStream(decoderStream(algorithm), { name: algorithm, decodes: limits });
}

/** For `PieceStream.flush` of an encoder. */
export function flushKind(algorithm: CompressionAlgorithm): number {
  switch (algorithm) {
    case "gzip":
      return constants.Z_SYNC_FLUSH;
    case "br":
      return constants.BROTLI_OPERATION_FLUSH;
    case "zstd":
    case "dcz":
      return constants.ZSTD_e_flush;
  }
}

function encoderStream(algorithm: CompressionAlgorithm, options: EncoderOptions): Transform & Zlib {
  const flush = options.live === true ? { flush: flushKind(algorithm) } : {};
  switch (algorithm) {
    case "gzip":
      return createGzip({ ...flush, level: options.level });
    case "br":
      return createBrotliCompress({
        ...flush,
        params: {
          [constants.BROTLI_PARAM_QUALITY]: options.level,
          [constants.BROTLI_PARAM_LGWIN]: BROTLI_WINDOW,
          [constants.BROTLI_PARAM_MODE]:
            options.text === true ? constants.BROTLI_MODE_TEXT : constants.BROTLI_MODE_GENERIC,
          [constants.BROTLI_PARAM_SIZE_HINT]: Math.min(options.bytes ?? 0, 2 ** 30),
        },
      });
    case "zstd":
    case "dcz": {
      const params: Record<number, number> = { [constants.ZSTD_c_compressionLevel]: options.level };
      if (options.level >= ZSTD_WIDE_LEVEL) params[constants.ZSTD_c_windowLog] = ZSTD_WINDOW;
      const zstd: ZstdOptions = { ...flush, params };
      if (algorithm === "dcz" && options.dictionary !== undefined) {
        zstd.dictionary = options.dictionary.bytes;
      }
      return createZstdCompress(zstd);
    }
  }
}

function decoderStream(algorithm: DecompressionAlgorithm): Transform & Zlib {
  const chunkSize = DECODED_CHUNK_BYTES;
  switch (algorithm) {
    case "gzip":
      return createGunzip({ chunkSize });
    case "br":
      return createBrotliDecompress({ chunkSize });
    case "zstd":
      return createZstdDecompress({ chunkSize, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW } });
  }
}
