import { COMPRESSION_ERROR, http2CodeName, INTERNAL_ERROR } from "../error-codes.ts";
import { HpackError } from "../hpack/hpack-error.ts";

/** The peer broke the rules, or we have a fault (INTERNAL_ERROR), in a way that leaves nothing of the connection to go on with (RFC 9113, section 5.4.1). */
export class Http2ConnectionError extends Error {
  override readonly name = "Http2ConnectionError";
  /** For GOAWAY. */
  readonly code: number;
  /** What it did, without the code's name. */
  readonly what: string;
  /** The option that bounds it; `undefined` if none does. */
  readonly limit: "maxResets" | "maxControlFrames" | undefined;

  constructor(code: number, what: string, options?: ErrorOptions & { limit?: Http2ConnectionError["limit"] }) {
    super(`${http2CodeName(code)}: ${what}`, options);
    this.code = code;
    this.what = what;
    this.limit = options?.limit;
  }
}

/** What was thrown while frames were read. What is nobody's breach of a rule is our fault. */
export function asConnectionError(thrown: unknown): Http2ConnectionError {
  if (thrown instanceof Http2ConnectionError) return thrown;
  // RFC 9113, section 4.3: without the block the tables of both sides differ.
  if (thrown instanceof HpackError)
    return new Http2ConnectionError(COMPRESSION_ERROR, thrown.message, { cause: thrown });
  return new Http2ConnectionError(INTERNAL_ERROR, "a fault of ours", { cause: thrown });
}
