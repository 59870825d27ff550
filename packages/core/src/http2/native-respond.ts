import { channel } from "node:diagnostics_channel";
import { constants, type ServerHttp2Stream, type ServerStreamResponseOptions } from "node:http2";

/** Node's own, which its types do not know. */
const { STREAM_OPTION_EMPTY_PAYLOAD, STREAM_OPTION_GET_TRAILERS } = constants as unknown as Record<string, number>;
const HEADERS_SENT = 0x4;
const HAS_TRAILERS = 0x20;

/** nghttp2's side of a stream. */
interface Handle {
  respond(block: [fields: string, count: number], options: number): number;
}
type WithInternals = ServerHttp2Stream & Record<symbol, unknown> & { readonly headRequest: boolean };

/** Told by Node of each response; whoever listens is to hear of ours. */
const finished = channel("http2.server.stream.finish");

let handleKey: symbol | undefined;
let stateKey: symbol | undefined;
/** Found usable; `undefined`: not looked for yet. */
let usable: boolean | undefined;

/**
 * Hands a response head to nghttp2 as `respond` of Node does, without looking at each field again: they have been checked, and their
 * names are lower case. Returns `false` where that cannot be, and nothing was done. (`respond` costs 6 µs for eight fields
 * in a process that is busy with other things, where a whole request costs 75; this way it is 2.)
 *
 * Node keeps what this needs in properties that it does not document: the handle under a symbol `kHandle`, flags in an object under a
 * symbol `state`. A Node in which they are not what they were when this was written is found out at the first stream.
 * @param block Fields, each `name NUL value NUL flags` with the flags as a character; `:status` is the first.
 */
export function respondNatively(
  stream: ServerHttp2Stream,
  block: string,
  count: number,
  { endStream, waitForTrailers }: ServerStreamResponseOptions,
): boolean {
  // HEAD marks a stream in a way of its own, so that it tells less.
  if (usable === undefined && !(stream as WithInternals).headRequest) usable = look(stream as WithInternals);
  if (usable !== true || finished.hasSubscribers) return false;
  const handle = (stream as WithInternals)[handleKey!] as Handle;
  const state = (stream as WithInternals)[stateKey!] as { flags: number };
  let options = 0;
  if (endStream === true) {
    options |= STREAM_OPTION_EMPTY_PAYLOAD!;
    stream.end();
  }
  if (waitForTrailers === true) {
    options |= STREAM_OPTION_GET_TRAILERS!;
    state.flags |= HAS_TRAILERS;
  }
  state.flags |= HEADERS_SENT;
  const result = handle.respond([block, count], options);
  if (result < 0) stream.destroy(new Error(`nghttp2 refused a response head: error ${result}`));
  return true;
}

/** Whether this Node has what is needed; a stream without response tells. */
function look(stream: WithInternals): boolean {
  for (const key of Object.getOwnPropertySymbols(stream)) {
    if (key.description === "kHandle") handleKey = key;
    else if (key.description === "state") stateKey = key;
  }
  if (handleKey === undefined || stateKey === undefined) return false;
  const handle = stream[handleKey] as Partial<Handle> | undefined;
  const state = stream[stateKey] as { flags?: unknown } | undefined;
  if (typeof handle?.respond !== "function" || typeof state?.flags !== "number") return false;
  if (STREAM_OPTION_EMPTY_PAYLOAD !== 1 || STREAM_OPTION_GET_TRAILERS !== 2 || stream.headersSent) return false;
  const { flags } = state;
  state.flags = flags | HEADERS_SENT;
  const isThat = stream.headersSent && !stream.headRequest && !stream.aborted && !stream.closed;
  state.flags = flags;
  return isThat;
}
