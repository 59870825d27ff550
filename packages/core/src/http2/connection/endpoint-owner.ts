import type { FieldReceiver } from "../hpack/decoder.ts";
import type { FloodLimits } from "./flood-guard.ts";
import type { Http2ConnectionError } from "./http2-connection-error.ts";
import type { Http2Stream, StreamClose } from "./http2-stream.ts";

/** What we say of ourselves, and how we treat the peer. */
export interface EndpointSettings extends FloodLimits {
  readonly role: "client" | "server";
  /** SETTINGS_INITIAL_WINDOW_SIZE: bytes of a body that may be under way, or wait to be taken, on a stream. */
  readonly streamWindowBytes: number;
  /** The same for all streams together. At least 65,535. */
  readonly connectionWindowBytes: number;
  /**
   * When bytes are given back to the connection's window: as soon as they came, so that a stream that nobody reads holds up no other,
   * and streams times `streamWindowBytes` may wait; or when they were taken, so that `connectionWindowBytes` may.
   */
  readonly creditsConnection: "when-received" | "when-taken";
  readonly maxFrameBytes: number;
  /** SETTINGS_MAX_HEADER_LIST_SIZE. A compressed head of more ends the connection. */
  readonly maxHeaderListBytes: number;
  /** SETTINGS_MAX_CONCURRENT_STREAMS of a server. */
  readonly maxConcurrentStreams: number;
  /** A server takes extended CONNECT (RFC 8441). */
  readonly extendedConnect: boolean;
}

/** Whoever has the connection. Streams are told what concerns them themselves. */
export interface EndpointOwner {
  /** Server: a stream is to be opened; who takes its fields. */
  beginRequest(): FieldReceiver;
  /** Server: they came. Makes the stream, or refuses it by {@link Http2Endpoint.refuse}. */
  openStream(streamId: number, endStream: boolean): void;
  /** A stream that the peer wanted to open was reset before anybody saw it. */
  onRefused(why: string): void;
  /** SETTINGS of the peer came and count. */
  onSettings(): void;
  /** @param debug What it says besides, at most 100 bytes: whatever its sender likes (RFC 9113, section 6.8). */
  onGoaway(code: number, lastStreamId: number, debug: string): void;
  /** The answer to our PING. */
  onPong(): void;
  /** A stream is closed, and was told so. */
  onStreamClosed(stream: Http2Stream, how: StreamClose): void;
  /** A rule was broken that nothing can follow; by {@link Http2Endpoint.finish} the connection ends. */
  onConnectionError(error: Http2ConnectionError): void;
  /** The peer ended its direction. */
  onPeerEnd(): void;
  /** The byte stream broke; {@link onOver} follows. */
  onError(error: Error): void;
  /** The byte stream is closed, and all streams were told so. Nothing follows. */
  onOver(): void;
}
