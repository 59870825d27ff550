import { channel } from "node:diagnostics_channel";
import { constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";

/** Node's own, which its types do not know. */
const { STREAM_OPTION_EMPTY_PAYLOAD, STREAM_OPTION_GET_TRAILERS } = constants as unknown as Record<string, number>;
const HAS_TRAILERS = 0x20;
const DEFAULT_WEIGHT = 16;

/** nghttp2's side of a session, and of a stream. */
interface SessionHandle {
  request(
    block: [fields: string, count: number],
    options: number,
    parent: number,
    weight: number,
    exclusive: boolean,
  ): StreamHandle | number;
}
interface StreamHandle {
  id(): number;
}
type StreamClass = new (session: object, handle: object, id: number, options: object) => ClientHttp2Stream;
type WithInternals = Record<symbol, unknown>;

/** Told by Node of each request; whoever listens is to hear of ours. */
const created = channel("http2.client.stream.created");
const started = channel("http2.client.stream.start");

let handleKey: symbol | undefined;
let stateKey: symbol | undefined;
let Stream: StreamClass | undefined;
/** Found usable; `undefined`: not looked for yet. */
let usable: boolean | undefined;

/**
 * Opens a stream as `request` of Node does, but without looking at each field again, which have been checked, and without the async
 * resource, closures and copies that it makes for a session that may not be connected yet. (With HTTP/2 on both sides `request`
 * takes 18 % of a proxy's time, this 7 %.) Gives `undefined` where that cannot be, and nothing was done.
 *
 * Node keeps what this needs in properties that it does not document: nghttp2's session under a symbol `kHandle`, flags in an object
 * under a symbol `state`, and the class of streams is that of the first, which Node makes. A Node in which they are not what they
 * were when this was written is found out at that stream.
 * @param block Fields, each `name NUL value NUL flags` with the flags as a character; those that begin with a colon are first.
 */
export function requestNatively(
  session: ClientHttp2Session,
  block: string,
  count: number,
  endStream: boolean,
  waitForTrailers: boolean,
): ClientHttp2Stream | undefined {
  if (usable !== true || created.hasSubscribers || started.hasSubscribers) return undefined;
  const handle = (session as unknown as WithInternals)[handleKey!] as SessionHandle | undefined;
  if (handle === undefined) return undefined;
  let options = 0;
  if (endStream) options |= STREAM_OPTION_EMPTY_PAYLOAD!;
  if (waitForTrailers) options |= STREAM_OPTION_GET_TRAILERS!;
  const opened = handle.request([block, count], options, 0, DEFAULT_WEIGHT, false);
  // It failed, and will for Node, which knows what follows from that.
  if (typeof opened === "number") return undefined;
  const stream = new Stream!(session, opened, opened.id(), {});
  if (waitForTrailers) ((stream as unknown as WithInternals)[stateKey!] as { flags: number }).flags |= HAS_TRAILERS;
  if (endStream) {
    // nghttp2 knows of the end.
    stream._final = noFinal;
    stream.end();
  }
  return stream;
}

/** Looks at a stream that Node has made just now: whether this Node has what {@link requestNatively} needs. */
export function learnFrom(session: ClientHttp2Session, stream: ClientHttp2Stream): void {
  usable ??= look(session, stream);
}

function look(session: ClientHttp2Session, stream: ClientHttp2Stream): boolean | undefined {
  // Not connected yet: it tells too little.
  if (stream.pending) return undefined;
  for (const key of Object.getOwnPropertySymbols(stream)) {
    if (key.description === "kHandle") handleKey = key;
    else if (key.description === "state") stateKey = key;
  }
  if (handleKey === undefined || stateKey === undefined) return false;
  const handle = (session as unknown as WithInternals)[handleKey] as Partial<SessionHandle> | undefined;
  const streamHandle = (stream as unknown as WithInternals)[handleKey] as Partial<StreamHandle> | undefined;
  const state = (stream as unknown as WithInternals)[stateKey] as { flags?: unknown } | undefined;
  Stream = stream.constructor as StreamClass;
  return (
    typeof handle?.request === "function" &&
    typeof streamHandle?.id === "function" &&
    streamHandle.id() === stream.id &&
    typeof state?.flags === "number" &&
    STREAM_OPTION_EMPTY_PAYLOAD === 1 &&
    STREAM_OPTION_GET_TRAILERS === 2 &&
    Stream.name === "ClientHttp2Stream" &&
    Stream.length === 4
  );
}

function noFinal(done: (error?: Error | null) => void): void {
  done();
}
