import { checkOptionNames } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { CompressionDictionary } from "./compression-dictionary.ts";
import {
  COMPRESSION_ALGORITHMS,
  DECOMPRESSION_ALGORITHMS,
  MAX_LEVELS,
  type CompressionAlgorithm,
  type DecompressionAlgorithm,
} from "./content-coding.ts";

export interface CompressionOptions {
  /** For all algorithms, or for some; see {@link CompressionSettings.setLevel}. Default 0: nothing is compressed. */
  level?: number | Readonly<Partial<Record<CompressionAlgorithm, number>>>;
  /** For all, or for some; see {@link CompressionSettings.setDecompression}. Default false. */
  decompression?: boolean | Readonly<Partial<Record<DecompressionAlgorithm, boolean>>>;
  /** For all, or for some; see {@link CompressionSettings.setPreserveEtag}. Default false. */
  preserveEtag?: boolean | Readonly<Partial<Record<CompressionAlgorithm, boolean>>>;
  /**
   * A response that decompresses to more is cut. Default 268,435,456 (256 MiB): more than a document has, and an end for
   * what was made to fill a disk or a memory. Infinity: no limit.
   */
  maxDecompressedBytes?: number;
  /**
   * A response that decompresses to more than this times its length is cut, once it has more than 1 MiB. Default 1000: gzip
   * cannot do more, and what does is a bomb. It also bounds what one piece becomes in memory. Infinity: no limit.
   */
  maxDecompressionRatio?: number;
  /**
   * How long bytes are held back at most, to be compressed with those that follow: so a live response stays live, also one
   * that never rests. Milliseconds; default 50, which is felt by nobody and hardly costs size. 0: held back until there is
   * enough, or the end. A `text/event-stream` never waits.
   */
  flushAfterMs?: number;
}

const OPTION_NAMES = [
  "level",
  "decompression",
  "preserveEtag",
  "maxDecompressedBytes",
  "maxDecompressionRatio",
  "flushAfterMs",
];
const NONE: CompressionOptions = {};

/** Whether and how the body of a response is compressed or decompressed. Can be changed until its final head has come. */
export class CompressionSettings {
  /** See {@link CompressionOptions}. */
  maxDecompressedBytes = 268_435_456;
  maxDecompressionRatio = 1000;
  flushAfterMs = 50;
  #dictionary: CompressionDictionary | undefined = undefined;
  #locked = false;
  #levels: Record<CompressionAlgorithm, number> = { gzip: 0, br: 0, zstd: 0, dcz: 0 };
  #decompression: Record<DecompressionAlgorithm, boolean> = { gzip: false, br: false, zstd: false };
  #preserveEtag: Record<CompressionAlgorithm, boolean> = { gzip: false, br: false, zstd: false, dcz: false };

  /** @throws TypeError or RangeError naming the option that cannot be. */
  constructor(options: CompressionOptions = NONE) {
    if (options === NONE) return;
    checkOptionNames("compression", options, OPTION_NAMES);
    const { level = 0, decompression = false, preserveEtag = false } = options;
    if (isRecord(level)) forEach(level, (algorithm, value) => this.setLevel(algorithm, value));
    else this.setLevel(level);
    if (isRecord(decompression)) forEach(decompression, (name, on) => this.setDecompression(name, on));
    else this.setDecompression(decompression);
    if (isRecord(preserveEtag)) forEach(preserveEtag, (name, on) => this.setPreserveEtag(name, on));
    else this.setPreserveEtag(preserveEtag);
    for (const name of ["maxDecompressedBytes", "maxDecompressionRatio", "flushAfterMs"] as const) {
      const value = options[name] ?? this[name];
      const least = name === "flushAfterMs" ? 0 : 1;
      if (typeof value !== "number" || !(value >= least)) {
        throw new RangeError(`compression: ${name}: expected a number of at least ${least}, got ${shown(value)}`);
      }
      this[name] = value;
    }
  }

  /**
   * How hard to compress: 0 is off, higher is smaller and slower. gzip 1 to 9, br 1 to 11, zstd and dcz 1 to 22; without an
   * algorithm, 1 to 9 for all of them.
   * @throws RangeError out of that range; TypeError for another algorithm, or after the final head of the response.
   */
  setLevel(level: number): this;
  setLevel(algorithm: CompressionAlgorithm, level: number): this;
  setLevel(first: number | CompressionAlgorithm, second?: number): this {
    this.#checkOpen();
    if (typeof first === "number") {
      checkLevel("level", first, MAX_LEVELS.gzip);
      for (const algorithm of COMPRESSION_ALGORITHMS) this.#levels[algorithm] = first;
      return this;
    }
    checkName(first, COMPRESSION_ALGORITHMS);
    checkLevel(`level of ${first}`, second, MAX_LEVELS[first]);
    this.#levels[first] = second;
    return this;
  }

  /** 0: off. */
  level(algorithm: CompressionAlgorithm): number {
    return this.#levels[algorithm];
  }

  /**
   * Whether a response that comes compressed is decompressed for a client that does not accept it so.
   * @throws TypeError for another algorithm, for what is no boolean, or after the final head of the response.
   */
  setDecompression(on: boolean): this;
  setDecompression(algorithm: DecompressionAlgorithm, on: boolean): this;
  setDecompression(first: boolean | DecompressionAlgorithm, second?: boolean): this {
    this.#checkOpen();
    setSwitches("decompression", this.#decompression, DECOMPRESSION_ALGORITHMS, first, second);
    return this;
  }

  decompresses(algorithm: DecompressionAlgorithm): boolean {
    return this.#decompression[algorithm];
  }

  /**
   * Whether a response that is transformed keeps its ETag. By default a strong one becomes weak, since it names other bytes
   * (RFC 9110, section 8.8.1). For origins that take any ETag of theirs as strong.
   * @throws as {@link setDecompression}.
   */
  setPreserveEtag(on: boolean): this;
  setPreserveEtag(algorithm: CompressionAlgorithm, on: boolean): this;
  setPreserveEtag(first: boolean | CompressionAlgorithm, second?: boolean): this {
    this.#checkOpen();
    setSwitches("preserveEtag", this.#preserveEtag, COMPRESSION_ALGORITHMS, first, second);
    return this;
  }

  preservesEtag(algorithm: CompressionAlgorithm): boolean {
    return this.#preserveEtag[algorithm];
  }

  /**
   * The dictionary for `dcz`, which is used for clients that have it (`Available-Dictionary`, RFC 9842). Default: none.
   * @throws TypeError for something else, or after the final head of the response.
   */
  setDictionary(dictionary: CompressionDictionary | undefined): this {
    this.#checkOpen();
    if (dictionary !== undefined && !(dictionary instanceof CompressionDictionary)) {
      throw new TypeError(`compression: dictionary: expected a CompressionDictionary, got ${shown(dictionary)}`);
    }
    this.#dictionary = dictionary;
    return this;
  }

  get dictionary(): CompressionDictionary | undefined {
    return this.#dictionary;
  }

  /** Some algorithm compresses. */
  get compressing(): boolean {
    const { gzip, br, zstd, dcz } = this.#levels;
    return gzip + br + zstd + dcz > 0;
  }

  /** Some algorithm is decompressed. */
  get decompressing(): boolean {
    const { gzip, br, zstd } = this.#decompression;
    return gzip || br || zstd;
  }

  get enabled(): boolean {
    return this.compressing || this.decompressing;
  }

  /** @internal The final head has come (`true`), or another response is waited for. */
  lock(locked: boolean): void {
    this.#locked = locked;
  }

  /** @internal */
  protected takeSettingsOf(other: CompressionSettings): void {
    this.maxDecompressedBytes = other.maxDecompressedBytes;
    this.maxDecompressionRatio = other.maxDecompressionRatio;
    this.flushAfterMs = other.flushAfterMs;
    this.#dictionary = other.#dictionary;
    this.#levels = { ...other.#levels };
    this.#decompression = { ...other.#decompression };
    this.#preserveEtag = { ...other.#preserveEtag };
  }

  #checkOpen(): void {
    if (this.#locked) throw new TypeError("compression: set too late: the final head of the response has come");
  }
}

function isRecord<Given>(given: Given): given is Extract<Given, object> {
  return typeof given === "object" && given !== null;
}

function forEach<Name extends string, Value>(
  given: Readonly<Partial<Record<Name, Value>>>,
  set: (name: Name, value: Value) => void,
): void {
  for (const [name, value] of Object.entries(given)) if (value !== undefined) set(name as Name, value as Value);
}

function setSwitches<Name extends string>(
  what: string,
  switches: Record<Name, boolean>,
  names: readonly Name[],
  first: boolean | Name,
  second: boolean | undefined,
): void {
  const on = typeof first === "string" ? second : first;
  if (typeof first === "string") checkName(first, names);
  if (typeof on !== "boolean") throw new TypeError(`compression: ${what}: expected true or false, got ${shown(on)}`);
  for (const name of typeof first === "string" ? [first] : names) switches[name] = on;
}

function checkName(name: string, names: readonly string[]): void {
  if (names.includes(name)) return;
  throw new TypeError(`compression: expected one of ${names.join(", ")}, got ${JSON.stringify(name)}`);
}

function checkLevel(what: string, level: number | undefined, max: number): asserts level is number {
  if (Number.isInteger(level) && level! >= 0 && level! <= max) return;
  throw new RangeError(`compression: ${what}: expected an integer from 0 (off) to ${max}, got ${shown(level)}`);
}
