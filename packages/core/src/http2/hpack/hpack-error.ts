/**
 * A header block that breaks RFC 7541. Both sides now disagree about the table, so the connection is over: COMPRESSION_ERROR
 * (RFC 9113, section 4.3).
 */
export class HpackError extends Error {
  override readonly name = "HpackError";
}
