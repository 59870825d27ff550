/** Content codings that are known by name (RFC 9110, section 8.4.1; RFC 8878; RFC 9842). `dcb` is only ever passed on. */
export type ContentCoding = "gzip" | "br" | "zstd" | "dcb" | "dcz";

/** What can be compressed with. `dcz` is Zstandard with a dictionary that the client has. */
export type CompressionAlgorithm = "gzip" | "br" | "zstd" | "dcz";

/** What can be decompressed. */
export type DecompressionAlgorithm = "gzip" | "br" | "zstd";

/** The largest level of each algorithm; the smallest is 1, and 0 is off. */
export const MAX_LEVELS: Readonly<Record<CompressionAlgorithm, number>> = { gzip: 9, br: 11, zstd: 22, dcz: 22 };

export const COMPRESSION_ALGORITHMS: readonly CompressionAlgorithm[] = ["gzip", "br", "zstd", "dcz"];
export const DECOMPRESSION_ALGORITHMS: readonly DecompressionAlgorithm[] = ["gzip", "br", "zstd"];

const BY_TOKEN: ReadonlyMap<string, ContentCoding> = new Map<string, ContentCoding>([
  ["gzip", "gzip"],
  // RFC 9110, section 8.4.1.3: to be taken for gzip.
  ["x-gzip", "gzip"],
  ["br", "br"],
  ["zstd", "zstd"],
  ["dcb", "dcb"],
  ["dcz", "dcz"],
]);

/** The coding that a token names, without regard to case (RFC 9110, section 8.4.1); `undefined` for others. */
export function codingOf(token: string): ContentCoding | undefined {
  return BY_TOKEN.get(token.toLowerCase());
}
