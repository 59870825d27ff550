import { ProxyError } from "@sluice/error";
import type { ByteStream } from "../net/byte-stream.ts";
import { fromConnectError } from "../net/connect.ts";
import { Deadline } from "../net/deadline.ts";
import type { HttpPeer } from "./http-peer.ts";

/**
 * Gives a connection to `peer`: any half-open stream, a `net.Socket` (made with `allowHalfOpen`) or a `Duplex` for instance, with
 * nothing said on it that belongs to HTTP. It is the proxy's from then on: to be pooled, and to be closed.
 *
 * Rejecting, or throwing, means that no connection could be had: `failToConnect` runs. A ProxyError is taken as it is, with source
 * upstream if it has none; of other errors the system's codes (`ECONNREFUSED`, …) are understood, and the rest is `ConnectError`.
 *
 * @param signal Aborts when `connectMs` is over or the client has left. A stream that still comes is closed.
 */
export type ConnectStream = (peer: HttpPeer, signal: AbortSignal) => PromiseLike<ByteStream>;

/**
 * What `connectStream` gives, within the `connectMs` of the peer. Rejects with a ProxyError: `ConnectTimedout`, what the
 * function threw as one of source upstream, or `InternalError` (source internal) for what is no stream.
 * @param signal Gives up: the promise rejects with the signal's reason.
 */
export function openStream(
  peer: HttpPeer,
  connectStream: ConnectStream,
  signal: AbortSignal | undefined,
): Promise<ByteStream> {
  const { connectMs } = peer;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const attempt = new AbortController();
    let over = false;
    const settle = (): void => {
      over = true;
      deadline.dispose();
      signal?.removeEventListener("abort", onAbort);
    };
    const giveUp = (error: unknown): void => {
      settle();
      reject(error);
      attempt.abort(error);
    };
    const onAbort = (): void => giveUp(signal?.reason);
    const deadline = new Deadline(() => giveUp(timedOut(peer)));
    deadline.set(connectMs);
    signal?.addEventListener("abort", onAbort, { once: true });
    const onStream = (stream: unknown): void => {
      if (over) {
        closeUnused(stream);
        return;
      }
      settle();
      const fault = faultOf(stream, peer);
      if (fault === undefined) resolve(stream as ByteStream);
      else {
        reject(fault);
        closeUnused(stream);
      }
    };
    const onError = (thrown: unknown): void => {
      if (over) return;
      settle();
      reject(toConnectError(thrown, peer));
    };
    // What it throws at once is a rejection, too.
    new Promise<unknown>((begun) => begun(connectStream(peer, attempt.signal))).then(onStream, onError);
  });
}

const METHODS = ["write", "end", "destroy", "cork", "uncork", "pause", "resume", "on"] as const;

/** Why `stream` cannot be used; `undefined` if it can. */
function faultOf(stream: unknown, peer: HttpPeer): ProxyError | undefined {
  const given = stream as Partial<ByteStream> | null | undefined;
  const missing = METHODS.find((method) => typeof given?.[method] !== "function");
  if (missing !== undefined) {
    const what = given === null ? "null" : typeof given === "object" ? `an object without ${missing}()` : typeof given;
    return ProxyError.internal(
      "InternalError",
      `connectStream of ${peer.toString()} must give a stream; it gave ${what}`,
    );
  }
  const unfit = noByteStream(stream as ByteModes);
  if (unfit !== undefined) {
    return ProxyError.internal(
      "InternalError",
      `connectStream of ${peer.toString()} must give a stream of bytes; it gave one ${unfit}`,
    );
  }
  if (given?.destroyed !== true) return undefined;
  return ProxyError.upstream(
    "ConnectError",
    `connectStream of ${peer.toString()} gave a stream that is already closed`,
  );
}

/** What Node's streams say of how they give and count what they carry. */
interface ByteModes {
  readonly readableObjectMode?: boolean;
  readonly writableObjectMode?: boolean;
  readonly readableEncoding?: string | null;
}

function noByteStream({ readableObjectMode, writableObjectMode, readableEncoding }: ByteModes): string | undefined {
  // What is written to it would be counted by the piece: an upstream that is slow would not be seen.
  if (readableObjectMode === true || writableObjectMode === true) return "in object mode";
  if (typeof readableEncoding !== "string") return undefined;
  return `that gives strings: its encoding is set to ${readableEncoding}`;
}

/** Nobody waits for it any more, nor for its errors. */
function closeUnused(stream: unknown): void {
  const unused = stream as Partial<ByteStream> | null | undefined;
  if (typeof unused?.on === "function") unused.on("error", () => undefined);
  if (typeof unused?.destroy === "function") unused.destroy();
}

function toConnectError(thrown: unknown, peer: HttpPeer): ProxyError {
  if (thrown instanceof ProxyError) return thrown.source === "unset" ? thrown.setSource("upstream") : thrown;
  if (thrown instanceof Error) return fromConnectError(thrown, peer.address);
  return ProxyError.upstream("ConnectError", `connecting to ${peer.toString()}`, thrown);
}

function timedOut(peer: HttpPeer): ProxyError {
  return ProxyError.upstream(
    "ConnectTimedout",
    `connectStream of ${peer.toString()} took longer than ${peer.connectMs} ms`,
  );
}
