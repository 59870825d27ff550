import type { Buffer } from "node:buffer";
import { FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR } from "../error-codes.ts";
import { DEFAULT_WINDOW_BYTES, LEAST_MAX_FRAME_BYTES, MAX_WINDOW_BYTES } from "../frames/frame-types.ts";
import { Http2ConnectionError } from "./http2-connection-error.ts";

// Identifiers (RFC 9113, section 6.5.2; RFC 8441, section 3; RFC 9218, section 2.1).
const HEADER_TABLE_SIZE = 1;
export const ENABLE_PUSH = 2;
export const MAX_CONCURRENT_STREAMS = 3;
export const INITIAL_WINDOW_SIZE = 4;
export const MAX_FRAME_SIZE = 5;
export const MAX_HEADER_LIST_SIZE = 6;
export const ENABLE_CONNECT_PROTOCOL = 8;
const NO_RFC7540_PRIORITIES = 9;

const ENTRY_BYTES = 6;

/** What the other side has said of itself; before it says anything, what RFC 9113, section 6.5.2, says for it. */
export class PeerSettings {
  headerTableBytes = 4096;
  /** The smallest that it was in the last frame: the peer takes each as it comes (section 6.5.3). */
  leastHeaderTableBytes = 4096;
  maxConcurrentStreams: number = Number.POSITIVE_INFINITY;
  initialWindowBytes: number = DEFAULT_WINDOW_BYTES;
  maxFrameBytes: number = LEAST_MAX_FRAME_BYTES;
  maxHeaderListBytes: number = Number.POSITIVE_INFINITY;
  extendedConnect = false;

  /**
   * Takes a SETTINGS frame's payload, in its order; what is not known is ignored (section 6.5.2).
   * @throws Http2ConnectionError for a value that is not allowed.
   */
  read(buffer: Buffer, from: number, end: number, fromServer: boolean): void {
    if ((end - from) % ENTRY_BYTES !== 0) {
      throw new Http2ConnectionError(FRAME_SIZE_ERROR, `SETTINGS of ${end - from} bytes, which is no multiple of six`);
    }
    this.leastHeaderTableBytes = this.headerTableBytes;
    for (let at = from; at < end; at += ENTRY_BYTES) {
      this.#take(buffer.readUInt16BE(at), buffer.readUInt32BE(at + 2), fromServer);
    }
  }

  #take(id: number, value: number, fromServer: boolean): void {
    switch (id) {
      case HEADER_TABLE_SIZE:
        this.headerTableBytes = value;
        this.leastHeaderTableBytes = Math.min(this.leastHeaderTableBytes, value);
        return;
      case ENABLE_PUSH:
        // Section 6.5.2: a server must not say that it takes pushes.
        if (value > (fromServer ? 0 : 1)) throw wrong("ENABLE_PUSH", value);
        return;
      case MAX_CONCURRENT_STREAMS:
        this.maxConcurrentStreams = value;
        return;
      case INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW_BYTES) throw wrong("INITIAL_WINDOW_SIZE", value, FLOW_CONTROL_ERROR);
        this.initialWindowBytes = value;
        return;
      case MAX_FRAME_SIZE:
        if (value < LEAST_MAX_FRAME_BYTES || value >= 2 ** 24) throw wrong("MAX_FRAME_SIZE", value);
        this.maxFrameBytes = value;
        return;
      case MAX_HEADER_LIST_SIZE:
        this.maxHeaderListBytes = value;
        return;
      case ENABLE_CONNECT_PROTOCOL:
        // RFC 8441, section 3: neither anything else, nor taken back.
        if (value > 1 || (value === 0 && this.extendedConnect)) throw wrong("ENABLE_CONNECT_PROTOCOL", value);
        this.extendedConnect = value === 1;
        return;
      case NO_RFC7540_PRIORITIES:
        if (value > 1) throw wrong("NO_RFC7540_PRIORITIES", value);
    }
  }
}

function wrong(name: string, value: number, code = PROTOCOL_ERROR): Http2ConnectionError {
  return new Http2ConnectionError(code, `SETTINGS_${name} of ${value}`);
}
