import type { ServerOptions } from "node:http2";
import type { Http2ServerOptions } from "./server-options.ts";

/** A field counts 32 bytes more than it has (RFC 9113, section 6.5.2). */
const FIELD_OVERHEAD_BYTES = 32;

const MADE = new WeakMap<Http2ServerOptions, ServerOptions>();

/** What Node is told of our options; made once for a service. */
export function nodeOptions(options: Http2ServerOptions): ServerOptions {
  let made = MADE.get(options);
  if (made === undefined) {
    made = make(options);
    MADE.set(options, made);
  }
  return made;
}

function make(options: Http2ServerOptions): ServerOptions {
  const { maxHeadBytes, maxFields, maxResets } = options;
  return {
    // Beyond our own limits a request is answered; beyond twice as much its stream is reset.
    maxHeaderListPairs: (maxFields + 5) * 2,
    settings: {
      enableConnectProtocol: options.extendedConnect,
      enablePush: false,
      initialWindowSize: options.streamWindowBytes,
      maxConcurrentStreams: options.maxConcurrentStreams,
      maxFrameSize: options.maxFrameBytes,
      maxHeaderListSize: (maxHeadBytes + maxFields * FIELD_OVERHEAD_BYTES) * 2,
    },
    // A head that nghttp2 finds too large ends the connection; that of an origin has limits of its own.
    maxSendHeaderBlockLength: 2 ** 20,
    // What an origin sends twice goes down twice.
    strictSingleValueFields: false,
    // nghttp2's own limit on resets says nothing in the log: it comes behind ours.
    streamResetBurst: Math.min(maxResets * 2 + 1000, 2 ** 31 - 1),
    streamResetRate: Math.min(maxResets + 33, 2 ** 31 - 1),
  };
}
