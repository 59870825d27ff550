import type { Buffer } from "node:buffer";
import { PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED } from "../error-codes.ts";
import { NO_RECEIVER } from "../heads/field-rules.ts";
import { HpackDecoder } from "../hpack/decoder.ts";
import { Http2ConnectionError } from "./http2-connection-error.ts";
import type { Http2Endpoint } from "./http2-endpoint.ts";
import { IncomingBlock } from "./incoming-block.ts";

/** Field blocks that come: what stream they belong to, and who takes their fields. Each is decoded, wanted or not (RFC 9113, section 4.3). */
export class IncomingHeads {
  readonly #endpoint: Http2Endpoint;
  readonly #decoder = new HpackDecoder();
  readonly #block: IncomingBlock;

  constructor(endpoint: Http2Endpoint) {
    this.#endpoint = endpoint;
    this.#block = new IncomingBlock(endpoint.settings.maxHeaderListBytes);
  }

  /** The stream whose block is not whole; 0: there is none. */
  get openId(): number {
    return this.#block.streamId;
  }

  begin(streamId: number, endStream: boolean, buffer: Buffer, from: number, end: number, whole: boolean): void {
    if (!whole) {
      this.#block.begin(streamId, endStream, buffer, from, end);
      return;
    }
    this.#block.checkWhole(end - from);
    this.#onBlock(streamId, endStream, buffer, from, end);
  }

  continue(buffer: Buffer, from: number, end: number, last: boolean): void {
    const block = this.#block;
    block.add(buffer, from, end);
    if (!last) return;
    const { streamId, endStream } = block;
    const whole = block.take();
    this.#onBlock(streamId, endStream, whole, 0, whole.length);
  }

  #onBlock(streamId: number, endStream: boolean, block: Buffer, from: number, end: number): void {
    const endpoint = this.#endpoint;
    const stream = endpoint.streams.get(streamId);
    if (stream === undefined) {
      if (endpoint.settings.role === "server" && streamId > endpoint.lastPeerStreamId) {
        this.#open(streamId, endStream, block, from, end);
      } else {
        this.#late(streamId);
        this.#decoder.decode(block, from, end, NO_RECEIVER);
      }
    } else if (stream.remoteEnded) {
      this.#decoder.decode(block, from, end, NO_RECEIVER);
      endpoint.breakRule(stream, STREAM_CLOSED, "HEADERS behind END_STREAM");
    } else {
      endpoint.guard.allow(0);
      this.#decoder.decode(block, from, end, stream.beginFields());
      stream.endFields(endStream);
      if (endStream) stream.takeEnd();
    }
  }

  /** Section 5.1.1: a client opens odd streams, each above the one before. */
  #open(streamId: number, endStream: boolean, block: Buffer, from: number, end: number): void {
    const endpoint = this.#endpoint;
    if (streamId % 2 === 0) throw new Http2ConnectionError(PROTOCOL_ERROR, "HEADERS on an even stream");
    endpoint.lastPeerStreamId = streamId;
    if (streamId > endpoint.lastServedStreamId) {
      // It may not have heard of it, and should soon.
      endpoint.guard.controlFrame();
      this.#decoder.decode(block, from, end, NO_RECEIVER);
      return;
    }
    if (endpoint.streams.size >= endpoint.settings.maxConcurrentStreams) {
      // Section 5.1.2.
      this.#decoder.decode(block, from, end, NO_RECEIVER);
      endpoint.refuse(
        streamId,
        REFUSED_STREAM,
        `more than ${endpoint.settings.maxConcurrentStreams} streams at a time`,
      );
      return;
    }
    this.#decoder.decode(block, from, end, endpoint.owner.beginRequest());
    endpoint.owner.openStream(streamId, endStream);
  }

  /** For a stream that is not open any more, or never was. */
  #late(streamId: number): void {
    const endpoint = this.#endpoint;
    if (endpoint.isIdle(streamId) || streamId % 2 === 0) {
      throw new Http2ConnectionError(PROTOCOL_ERROR, `HEADERS on stream ${streamId}, which was never opened`);
    }
    endpoint.guard.controlFrame();
    if (streamId > endpoint.lastServedStreamId) return;
    switch (endpoint.closedStreams.endOf(streamId)) {
      case "reset-by-us":
        // Section 5.1: it may not have heard of it.
        return;
      case undefined:
        // A client has opened them all; a server that was slow may answer many that were given up.
        if (endpoint.settings.role === "client") return;
        throw new Http2ConnectionError(PROTOCOL_ERROR, `HEADERS on stream ${streamId}, below the last one`);
      default:
        throw new Http2ConnectionError(STREAM_CLOSED, `HEADERS on stream ${streamId}, which is closed`);
    }
  }
}
