import type { Buffer } from "node:buffer";
import { PROTOCOL_ERROR } from "../error-codes.ts";
import type { FrameOutput } from "../frames/frame-output.ts";
import { DEFAULT_WINDOW_BYTES } from "../frames/frame-types.ts";
import { PREFACE } from "../preface.ts";
import type { EndpointSettings } from "./endpoint-owner.ts";
import { Http2ConnectionError } from "./http2-connection-error.ts";
import {
  ENABLE_CONNECT_PROTOCOL,
  ENABLE_PUSH,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  MAX_HEADER_LIST_SIZE,
} from "./peer-settings.ts";

/** Begins the connection (RFC 9113, section 3.4). */
export function sendPreface(output: FrameOutput, settings: EndpointSettings): void {
  if (settings.role === "client") output.bytes(PREFACE);
  const values: [id: number, value: number][] = [
    [INITIAL_WINDOW_SIZE, settings.streamWindowBytes],
    [MAX_FRAME_SIZE, settings.maxFrameBytes],
    [MAX_HEADER_LIST_SIZE, settings.maxHeaderListBytes],
  ];
  if (settings.role === "client") values.push([ENABLE_PUSH, 0]);
  else {
    values.push([MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams]);
    if (settings.extendedConnect) values.push([ENABLE_CONNECT_PROTOCOL, 1]);
  }
  output.settings(values);
  const more = settings.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
  if (more > 0) output.windowUpdate(0, more);
}

/** Looks for the bytes with which a client begins. */
export class PrefaceReader {
  #came: number;

  /** @param isExpected Of a client; a server begins with SETTINGS. */
  constructor(isExpected: boolean) {
    this.#came = isExpected ? 0 : PREFACE.length;
  }

  /**
   * Gives where frames begin in `buffer`.
   * @throws Http2ConnectionError for anything else.
   */
  read(buffer: Buffer, end: number): number {
    const wanted = PREFACE.length - this.#came;
    if (wanted === 0) return 0;
    const bytes = Math.min(wanted, end);
    if (PREFACE.compare(buffer, 0, bytes, this.#came, this.#came + bytes) !== 0) {
      throw new Http2ConnectionError(PROTOCOL_ERROR, "no preface of HTTP/2");
    }
    this.#came += bytes;
    return bytes;
  }
}
