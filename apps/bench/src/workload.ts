import type { Wire } from "./wire.ts";

/** One kind of request that is measured. */
export interface Workload {
  /** As the tables call it. */
  readonly name: string;
  /** What the load generator sends, and what it is answered. */
  readonly timed: Exchange;
  /** Has each timed request come on a new connection by TLS, with a handshake of this kind. Default: connections stay. */
  readonly handshake?: Handshake;
  /** Tried before and after each timing; they show that the timed request and its answer pass whole. */
  readonly checks: readonly Exchange[];
  /** What the origin serves as it is. */
  readonly files: readonly File[];
  /** What else the origin needs: directives of its `server` block. `http://itself` is this very server. */
  readonly locations: string;
}

/** By TLS 1.3: with certificate and signature, or on from an earlier session by its ticket. */
export type Handshake = "full" | "resumed";

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

/** Whether a field speaks of the connection or its address, so that HTTP/2 has none (RFC 9113, section 8.2.2), or `:authority` for it. */
export function isOfConnection(name: string): boolean {
  return ["connection", "host"].includes(name.toLowerCase());
}

/** Why a workload cannot be sent to a proxy that speaks so, in words that follow its name; `undefined` when it can. */
export function unsuitable({ handshake, timed }: Workload, { client, tls }: Wire): string | undefined {
  if (handshake !== undefined && !(tls && client === "h1")) return "is for HTTP/1 by TLS";
  if (timed.request.chunkedBody !== undefined && client === "h2") return "is for HTTP/1: h2load sends no such body";
  return undefined;
}
