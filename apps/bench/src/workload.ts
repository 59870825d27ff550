/** One kind of request that is measured. */
export interface Workload {
  /** As the tables call it. */
  readonly name: string;
  /** What the load generator sends, and what it is answered. */
  readonly timed: Exchange;
  /** Tried before and after each timing; they show that the timed request and its answer pass whole. */
  readonly checks: readonly Exchange[];
  /** What the origin serves as it is. */
  readonly files: readonly File[];
  /** What else the origin needs: directives of its `server` block. `http://itself` is this very server. */
  readonly locations: string;
}

/** A request, and the answer that comes back when the proxy loses nothing; always a 200. */
export interface Exchange {
  readonly request: Request;
  readonly answer: {
    /** Must be there, each once; others may. */
    readonly fields: Fields;
    readonly content: Buffer;
  };
}

export interface Request {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly fields: Fields;
  /** Sent with `Transfer-Encoding: chunked`, in chunks of `CHUNK_BYTES`. */
  readonly chunkedBody?: Buffer;
}

/** Names and values, as they are sent. */
export type Fields = readonly (readonly [name: string, value: string])[];

interface File {
  readonly path: string;
  readonly content: Buffer;
}

/** As much as a TLS record holds, so what a program often has at hand to send on. */
const CHUNK_BYTES = 16 * 1024;

/** The pieces a chunked body is sent in. */
export function* chunksOf(body: Buffer): Generator<Buffer> {
  for (let start = 0; start < body.length; start += CHUNK_BYTES) yield body.subarray(start, start + CHUNK_BYTES);
}
