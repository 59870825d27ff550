import type { Buffer } from "node:buffer";
import {
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  NO_ERROR,
  PROTOCOL_ERROR,
  STREAM_CLOSED,
} from "../error-codes.ts";
import type { FrameReceiver } from "../frames/frame-reader.ts";
import {
  ACK,
  CONTINUATION,
  END_HEADERS,
  END_STREAM,
  GOAWAY,
  HAS_PRIORITY,
  HEADERS,
  MAX_WINDOW_BYTES,
  PADDED,
  PING,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from "../frames/frame-types.ts";
import { Http2ConnectionError } from "./http2-connection-error.ts";
import type { Http2Endpoint } from "./http2-endpoint.ts";
import type { Http2Stream } from "./http2-stream.ts";
import { IncomingHeads } from "./incoming-heads.ts";

/** Of what a GOAWAY says besides its code, that is looked at. */
const MAX_DEBUG_BYTES = 100;

/** A peer that takes none of the answers that it asks for. */
const MAX_UNSENT_ANSWERS = 262_144;

/** What each frame means, and where it may not be (RFC 9113, sections 5.1 and 6). */
export class IncomingFrames implements FrameReceiver {
  readonly #endpoint: Http2Endpoint;
  readonly #heads: IncomingHeads;
  /** SETTINGS came, with which each side begins. */
  #begun = false;
  #lastGoawayId = MAX_WINDOW_BYTES;
  /** The stream whose DATA comes; `undefined`: its content is of no use. */
  #dataStream: Http2Stream | undefined = undefined;
  /** Of that frame, what is no content. */
  #besideContent = 0;
  #dataBytes = 0;
  #dataEnds = false;

  constructor(endpoint: Http2Endpoint) {
    this.#endpoint = endpoint;
    this.#heads = new IncomingHeads(endpoint);
  }

  onFrame(type: number, flags: number, streamId: number, buffer: Buffer, from: number, end: number): void {
    this.#checkPlace(type, streamId);
    switch (type) {
      case HEADERS:
        this.#onHeaders(flags, streamId, buffer, from, end);
        return;
      case CONTINUATION:
        this.#heads.continue(buffer, from, end, (flags & END_HEADERS) !== 0);
        return;
      case WINDOW_UPDATE:
        this.#onWindowUpdate(streamId, buffer, from, end);
        return;
      case RST_STREAM:
        this.#onReset(streamId, buffer, from, end);
        return;
      case SETTINGS:
        this.#onSettings(flags, streamId, buffer, from, end);
        return;
      case PING:
        this.#onPing(flags, streamId, buffer, from, end);
        return;
      case GOAWAY:
        this.#onGoaway(streamId, buffer, from, end);
        return;
      case PRIORITY:
        this.#onPriority(streamId, end - from);
        return;
      case PUSH_PROMISE:
        // Section 8.4: a client cannot push, and we have told servers not to.
        throw broken("a PUSH_PROMISE, which nobody may send to us");
      default:
        // Section 4.1: unknown types are ignored.
        this.#useless();
    }
  }

  /** Section 3.4: SETTINGS first; section 4.3: nothing within a field block. */
  #checkPlace(type: number, streamId: number): void {
    if (!this.#begun) {
      if (type !== SETTINGS) throw broken("no SETTINGS at the beginning");
      this.#begun = true;
    }
    const { openId } = this.#heads;
    if (openId === 0 ? type === CONTINUATION : type !== CONTINUATION || streamId !== openId) {
      throw broken(openId === 0 ? "CONTINUATION without HEADERS" : "another frame within a field block");
    }
  }

  onDataStart(flags: number, streamId: number, bytes: number): void {
    this.#checkPlace(-1, streamId);
    if (streamId === 0) throw broken("DATA on stream 0");
    const endpoint = this.#endpoint;
    endpoint.receiveWindowBytes -= bytes;
    if (endpoint.receiveWindowBytes < 0) {
      throw new Http2ConnectionError(FLOW_CONTROL_ERROR, "more DATA than the connection's window allows");
    }
    if (endpoint.settings.creditsConnection === "when-received") endpoint.giveBack(bytes);
    this.#dataEnds = (flags & END_STREAM) !== 0;
    this.#besideContent = bytes;
    this.#dataBytes = bytes;
    this.#dataStream = this.#dataFor(streamId, bytes);
  }

  #dataFor(streamId: number, bytes: number): Http2Stream | undefined {
    const endpoint = this.#endpoint;
    const stream = endpoint.streams.get(streamId);
    if (stream === undefined) {
      this.#onLateData(streamId, bytes);
      return undefined;
    }
    stream.receiveWindowBytes -= bytes;
    if (stream.remoteEnded) endpoint.breakRule(stream, STREAM_CLOSED, "DATA behind END_STREAM");
    else if (!stream.takesData) stream.malformed("DATA before the head");
    else if (stream.receiveWindowBytes < 0) {
      endpoint.breakRule(stream, FLOW_CONTROL_ERROR, "more DATA than the stream's window allows");
    } else return stream;
    return undefined;
  }

  /** Section 5.1: what was on its way when we reset the stream fits into the window that it had. */
  #onLateData(streamId: number, bytes: number): void {
    const endpoint = this.#endpoint;
    if (this.#lateFor(streamId, "DATA") === "answer") {
      endpoint.sendReset(streamId, STREAM_CLOSED);
      this.#useless();
    } else if (streamId <= endpoint.lastServedStreamId) {
      endpoint.lateBytes -= bytes;
      if (endpoint.lateBytes >= 0) return;
      throw new Http2ConnectionError(FLOW_CONTROL_ERROR, "DATA for streams that are closed, beyond their windows");
    }
  }

  onDataPiece(buffer: Buffer, from: number, end: number): void {
    const stream = this.#dataStream;
    this.#besideContent -= end - from;
    if (stream === undefined || stream.closed) this.#endpoint.returnToConnection(end - from);
    else stream.take(buffer, from, end);
  }

  onDataEnd(): void {
    const stream = this.#dataStream;
    this.#dataStream = undefined;
    const beside = this.#besideContent;
    if (this.#dataBytes > beside * 2) this.#endpoint.guard.allow(0);
    // Less content than padding, or none at all: only once in a stream's life that is of use.
    else if (!this.#dataEnds || stream === undefined) this.#useless();
    if (stream === undefined) this.#endpoint.returnToConnection(beside);
    else {
      if (beside > 0) this.#endpoint.taken(stream, beside);
      if (this.#dataEnds) stream.takeEnd();
    }
  }

  /** Section 6.2. */
  #onHeaders(flags: number, streamId: number, buffer: Buffer, start: number, stop: number): void {
    if (streamId === 0) throw broken("HEADERS on stream 0");
    let from = start;
    let end = stop;
    if ((flags & PADDED) !== 0) {
      if (from >= end) throw wrongSize("HEADERS", 0);
      end -= buffer[from++]!;
      if (end < from) throw broken("HEADERS with more padding than payload");
    }
    if ((flags & HAS_PRIORITY) !== 0) {
      // What it says is ignored (section 5.3.2).
      if (end - from < 5) throw wrongSize("HEADERS", stop - start);
      from += 5;
    }
    this.#heads.begin(streamId, (flags & END_STREAM) !== 0, buffer, from, end, (flags & END_HEADERS) !== 0);
  }

  /** Section 6.9. */
  #onWindowUpdate(streamId: number, buffer: Buffer, from: number, end: number): void {
    if (end - from !== 4) throw wrongSize("WINDOW_UPDATE", end - from);
    const bytes = buffer.readUInt32BE(from) & MAX_WINDOW_BYTES;
    const endpoint = this.#endpoint;
    this.#useless();
    if (streamId === 0) {
      if (bytes === 0) throw broken("WINDOW_UPDATE by 0");
      endpoint.sendWindowBytes += bytes;
      if (endpoint.sendWindowBytes > MAX_WINDOW_BYTES) {
        throw new Http2ConnectionError(FLOW_CONTROL_ERROR, "WINDOW_UPDATE beyond the largest window");
      }
      endpoint.sendOn();
      return;
    }
    const stream = endpoint.streams.get(streamId);
    if (stream === undefined) {
      this.#lateFor(streamId, "WINDOW_UPDATE");
      return;
    }
    if (bytes === 0) stream.malformed("WINDOW_UPDATE by 0");
    else endpoint.widen(stream, bytes);
  }

  /** Section 6.4. */
  #onReset(streamId: number, buffer: Buffer, from: number, end: number): void {
    if (streamId === 0) throw broken("RST_STREAM on stream 0");
    if (end - from !== 4) throw wrongSize("RST_STREAM", end - from);
    const endpoint = this.#endpoint;
    const stream = endpoint.streams.get(streamId);
    if (stream === undefined) {
      this.#lateFor(streamId, "RST_STREAM");
      this.#useless();
      return;
    }
    const code = buffer.readUInt32BE(from);
    if (code === NO_ERROR && stream.isWhole) stream.endWhole();
    endpoint.close(stream, "peer-reset", code);
    endpoint.guard.reset();
  }

  /** Section 6.5. */
  #onSettings(flags: number, streamId: number, buffer: Buffer, from: number, end: number): void {
    if (streamId !== 0) throw broken("SETTINGS on a stream");
    const endpoint = this.#endpoint;
    if ((flags & ACK) !== 0) {
      if (end > from) throw wrongSize("an acknowledgement of SETTINGS", end - from);
      if (endpoint.acknowledged) this.#useless();
      else endpoint.settingsAcknowledged();
      return;
    }
    this.#useless();
    endpoint.takeSettings(buffer, from, end);
  }

  /** Section 6.7. */
  #onPing(flags: number, streamId: number, buffer: Buffer, from: number, end: number): void {
    if (streamId !== 0) throw broken("PING on a stream");
    if (end - from !== 8) throw wrongSize("PING", end - from);
    const endpoint = this.#endpoint;
    if ((flags & ACK) !== 0 && endpoint.takePong()) return;
    this.#useless();
    if ((flags & ACK) === 0) endpoint.output.ping(ACK, buffer.subarray(from, end));
  }

  /** Section 6.8. */
  #onGoaway(streamId: number, buffer: Buffer, from: number, end: number): void {
    if (streamId !== 0) throw broken("GOAWAY on a stream");
    if (end - from < 8) throw wrongSize("GOAWAY", end - from);
    this.#useless();
    const lastStreamId = buffer.readUInt32BE(from) & MAX_WINDOW_BYTES;
    if (lastStreamId > this.#lastGoawayId) throw broken("a GOAWAY that takes back an earlier one");
    this.#lastGoawayId = lastStreamId;
    const endpoint = this.#endpoint;
    // No more than a line of the log has room for.
    const debug = buffer.toString("latin1", from + 8, Math.min(end, from + 8 + MAX_DEBUG_BYTES));
    endpoint.owner.onGoaway(buffer.readUInt32BE(from + 4), lastStreamId, debug);
    if (endpoint.settings.role === "client") endpoint.closeAbove(lastStreamId);
  }

  /** Section 6.3: what it says is ignored. */
  #onPriority(streamId: number, bytes: number): void {
    if (streamId === 0) throw broken("PRIORITY on stream 0");
    this.#useless();
    if (bytes === 5) return;
    const endpoint = this.#endpoint;
    const stream = endpoint.streams.get(streamId);
    if (stream === undefined) throw wrongSize("PRIORITY", bytes);
    endpoint.breakRule(stream, FRAME_SIZE_ERROR, `PRIORITY of ${bytes} bytes`);
  }

  /**
   * A frame for a stream that is not open (section 5.1). Late ones are to be expected where one side had not heard of the end.
   * @throws Http2ConnectionError for one that was never opened.
   */
  #lateFor(streamId: number, what: string): "ignore" | "answer" {
    const endpoint = this.#endpoint;
    if (endpoint.isIdle(streamId)) throw broken(`${what} on stream ${streamId}, which was never opened`);
    if (streamId > endpoint.lastServedStreamId) return "ignore";
    const end = endpoint.closedStreams.endOf(streamId);
    // A client has opened them all, and may have given up more than are remembered.
    if (end === undefined && endpoint.settings.role === "client") return "ignore";
    return end === "reset-by-us" ? "ignore" : "answer";
  }

  #useless(): void {
    const endpoint = this.#endpoint;
    endpoint.guard.controlFrame();
    if (endpoint.output.unsentBytes > MAX_UNSENT_ANSWERS) {
      throw new Http2ConnectionError(ENHANCE_YOUR_CALM, "it asks for answers, and takes none");
    }
  }
}

function broken(what: string): Http2ConnectionError {
  return new Http2ConnectionError(PROTOCOL_ERROR, what);
}

function wrongSize(what: string, bytes: number): Http2ConnectionError {
  return new Http2ConnectionError(FRAME_SIZE_ERROR, `${what} of ${bytes} bytes`);
}
