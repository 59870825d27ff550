import { createHash } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import type { RequestHeader } from "@sluice/http";

/** Begins a dictionary in Zstandard's own format (RFC 8878, section 5), which clients would not read as one. */
const FORMATTED = Buffer.from([0x37, 0xa4, 0x30, 0xec]);

/**
 * Bytes that a client has already, and against which a response is compressed as `dcz` (RFC 9842). Make one for each
 * dictionary, not for each request: it takes a hash.
 */
export class CompressionDictionary {
  readonly bytes: Uint8Array;
  /** SHA-256 of the bytes, 32 of them. */
  readonly hash: Uint8Array;
  /** How a client names it in `Available-Dictionary`: a byte sequence of RFC 9651, section 3.3.5. */
  readonly name: string;

  /**
   * @throws TypeError when `bytes` are none, empty, or a dictionary in Zstandard's own format; Error when this Node.js cannot
   * compress with a dictionary.
   */
  constructor(bytes: Uint8Array) {
    if (!(bytes instanceof Uint8Array) || bytes.length === 0) {
      throw new TypeError("CompressionDictionary: expected the bytes of the dictionary, at least one");
    }
    if (FORMATTED.equals(bytes.subarray(0, FORMATTED.length))) {
      throw new TypeError("CompressionDictionary: expected raw bytes, got a dictionary in Zstandard's own format");
    }
    if (!canUseDictionaries()) {
      throw new Error(
        `CompressionDictionary: the zlib of Node.js ${process.version} cannot compress with a dictionary`,
      );
    }
    this.bytes = bytes;
    this.hash = createHash("sha256").update(bytes).digest();
    this.name = `:${Buffer.from(this.hash).toString("base64")}:`;
  }

  /** Whether the client says that it has this dictionary (RFC 9842, section 2.2). */
  isAvailableTo(request: RequestHeader): boolean {
    return request.get("available-dictionary")?.trim() === this.name;
  }
}

let usable: boolean | undefined;

/** An older Node.js takes the option and ignores it. */
function canUseDictionaries(): boolean {
  if (usable === undefined) {
    const sample = Buffer.from("a text that does not repeat: 0123456789");
    usable = zstdCompressSync(sample, { dictionary: sample }).length < sample.length;
  }
  return usable;
}
