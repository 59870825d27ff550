import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import type { ByteStream } from "../../net/byte-stream.ts";
import { SocketReader, type ChunkReceiver } from "../../net/socket-reader.ts";
import { OWNER } from "../../net/stream-owner.ts";
import { FLOW_CONTROL_ERROR, INTERNAL_ERROR, NO_ERROR } from "../error-codes.ts";
import { FrameOutput } from "../frames/frame-output.ts";
import { FrameReader } from "../frames/frame-reader.ts";
import { DEFAULT_WINDOW_BYTES, LEAST_MAX_FRAME_BYTES, MAX_WINDOW_BYTES } from "../frames/frame-types.ts";
import { ClosedStreams } from "./closed-streams.ts";
import { PrefaceReader, sendPreface } from "./connection-preface.ts";
import type { EndpointOwner, EndpointSettings } from "./endpoint-owner.ts";
import { FloodGuard } from "./flood-guard.ts";
import { HeadWriter } from "./head-writer.ts";
import { asConnectionError, Http2ConnectionError } from "./http2-connection-error.ts";
import type { Http2Stream, StreamClose } from "./http2-stream.ts";
import { IncomingFrames } from "./incoming-frames.ts";
import { OpenStreams } from "./open-streams.ts";
import { PeerSettings } from "./peer-settings.ts";
import { ReadMemory } from "./read-memory.ts";
import { SendLine } from "./send-line.ts";

/** A stream that knows the endpoint on top of it: listeners can then be shared by all of them. */
type OwnedStream = ByteStream & { [OWNER]?: Http2Endpoint };

const NO_PAYLOAD = Buffer.alloc(8);

/** One side of an HTTP/2 connection (RFC 9113): frames, windows, settings and the states of streams; what they say is others' concern. */
export class Http2Endpoint implements ChunkReceiver {
  readonly settings: EndpointSettings;
  readonly owner: EndpointOwner;
  readonly peer: PeerSettings = new PeerSettings();
  readonly streams: OpenStreams = new OpenStreams();
  /** @internal */
  readonly output: FrameOutput;
  /** @internal */
  readonly head: HeadWriter;
  /** @internal */
  readonly closedStreams: ClosedStreams;
  /** @internal */
  readonly guard: FloodGuard;
  /** @internal Flow control of the connection. */
  sendWindowBytes: number = DEFAULT_WINDOW_BYTES;
  /** @internal */
  receiveWindowBytes: number = DEFAULT_WINDOW_BYTES;
  /** @internal DATA that may still come for streams that we have reset. */
  lateBytes = 0;
  /** Streams that were closed before the peer had agreed to our settings. */
  #closedEarly = 0;
  /** @internal The peer has agreed to our settings. */
  acknowledged = false;
  /** The highest stream that the peer has opened. */
  lastPeerStreamId = 0;
  /** Streams of the peer above it are not looked at: our GOAWAY has said so. */
  lastServedStreamId: number = Number.POSITIVE_INFINITY;
  /** Nothing of what comes is looked at any more. */
  finished = false;
  readonly #stream: OwnedStream;
  readonly #frames: FrameReader;
  readonly #line = new SendLine();
  #touched: Http2Stream[] = [];
  #nextStreamId = 1;
  /** Bytes to give back to the connection's window. */
  #unreturnedBytes = 0;
  readonly #preface: PrefaceReader;
  /** PING that were not answered. */
  #pings = 0;

  /** @param early What came already. */
  constructor(stream: ByteStream, owner: EndpointOwner, settings: EndpointSettings, early?: Buffer) {
    this.settings = settings;
    this.owner = owner;
    this.#stream = stream;
    this.output = new FrameOutput(stream);
    this.head = new HeadWriter(this.output);
    this.guard = new FloodGuard(settings);
    this.closedStreams = new ClosedStreams(settings.maxConcurrentStreams);
    this.#frames = new FrameReader(new IncomingFrames(this), settings.maxFrameBytes);
    this.#stream[OWNER] = this;
    this.#preface = new PrefaceReader(settings.role === "server");
    const reader = SocketReader.of(stream);
    this.memory = new ReadMemory(reader);
    if (settings.role === "client") this.memory.useOwn(true);
    if (reader === undefined) stream.on("data", onData);
    stream.on("end", onEnd);
    stream.on("drain", onDrain);
    stream.on("error", onError);
    stream.on("close", onClose);
    sendPreface(this.output, settings);
    this.receiveWindowBytes = Math.max(settings.connectionWindowBytes, DEFAULT_WINDOW_BYTES);
    // Whoever owns it is still being made.
    if (early !== undefined) queueMicrotask(() => this.onData(early, early.length));
    reader?.start(this);
    stream.resume();
  }

  // For whoever owns the connection.

  /** The answer is told by `onPong`. */
  ping(): void {
    this.#pings++;
    this.output.ping(0, NO_PAYLOAD);
  }

  /**
   * Says that streams of the peer above `lastStreamId` will not be looked at (RFC 9113, section 6.8). With 2^31-1 it says that the
   * connection is going to end, and leaves none out.
   */
  goaway(lastStreamId: number, code: number = NO_ERROR, debug = ""): void {
    this.lastServedStreamId = lastStreamId;
    this.output.goaway(lastStreamId, code, debug);
  }

  /** Ends the connection: all streams are told, what was framed leaves, and what still comes is dropped. The stream stays open. */
  finish(code: number, debug = ""): void {
    if (this.finished) return;
    this.finished = true;
    this.#frames.stop();
    this.goaway(Math.min(this.lastPeerStreamId, this.lastServedStreamId), code, debug);
    this.#closeAll();
    this.output.flush();
    // Whoever has something to say later would write behind the end.
    this.output.close();
    this.#stream.end();
  }

  /** Server, inside `openStream`: the stream is not served. @param why What rule it breaks. */
  refuse(streamId: number, code: number, why: string): void {
    this.sendReset(streamId, code);
    this.closedStreams.add(streamId, "reset-by-us");
    this.#expectLate(this.#newStreamWindowBytes());
    this.owner.onRefused(why);
    this.guard.reset();
  }

  /** What was read, for whoever is told a chunk of it. */
  readonly memory: ReadMemory;

  // For streams.

  /** @internal The peer has opened it. */
  register(stream: Http2Stream): void {
    stream.sendWindowBytes = this.peer.initialWindowBytes;
    stream.receiveWindowBytes = this.#newStreamWindowBytes();
    this.streams.add(stream);
    this.guard.allow(0);
  }

  #newStreamWindowBytes(): number {
    return this.acknowledged ? this.settings.streamWindowBytes : DEFAULT_WINDOW_BYTES;
  }

  /** @internal We open it: its head is about to be sent. */
  open(stream: Http2Stream): void {
    stream.id = this.#nextStreamId;
    this.#nextStreamId += 2;
    this.register(stream);
  }

  /** How many more streams can be opened before their numbers are used up (RFC 9113, section 5.1.1). */
  get streamIdsLeft(): number {
    return (2 ** 31 + 1 - this.#nextStreamId) / 2;
  }

  /** The system takes less than it is given. */
  get congested(): boolean {
    return this.output.congested;
  }

  /** @internal Nobody waits to send. */
  get lineIsFree(): boolean {
    return !this.output.congested && this.#line.isEmpty;
  }

  /** @internal */
  standInLine(stream: Http2Stream): void {
    this.#line.add(stream);
  }

  /** @internal Frames some of a chunk, as much as a frame and the windows take. Gives up to where. */
  frameData(stream: Http2Stream, chunk: Uint8Array, from: number): number {
    const most = Math.min(LEAST_MAX_FRAME_BYTES, stream.sendWindowBytes, this.sendWindowBytes);
    const end = Math.min(chunk.length, from + most);
    stream.sendWindowBytes -= end - from;
    this.sendWindowBytes -= end - from;
    this.output.data(stream.id, chunk, from, end, false);
    this.guard.allow(end - from);
    return end;
  }

  /** @internal */
  sendReset(streamId: number, code: number): void {
    this.output.resetStream(streamId, code);
  }

  /** @internal A stream's session took bytes. */
  taken(stream: Http2Stream, bytes: number): void {
    this.returnToConnection(bytes);
    if (stream.remoteEnded || stream.closed) return;
    stream.takenBytes += bytes;
    if (stream.takenBytes * 2 >= this.settings.streamWindowBytes) this.#returnToStream(stream);
  }

  /** @internal Bytes are not needed of those that count against the connection's window. */
  returnToConnection(bytes: number): void {
    if (this.settings.creditsConnection === "when-taken") this.giveBack(bytes);
  }

  /** @internal */
  giveBack(bytes: number): void {
    this.#unreturnedBytes += bytes;
    const unreturned = this.#unreturnedBytes;
    // Half of what is not held by bytes that wait: those who do take theirs must not run dry beside them.
    if (unreturned < this.receiveWindowBytes || unreturned === 0 || this.finished) return;
    this.output.windowUpdate(0, unreturned);
    this.receiveWindowBytes += unreturned;
    this.#unreturnedBytes = 0;
  }

  #returnToStream(stream: Http2Stream): void {
    this.output.windowUpdate(stream.id, stream.takenBytes);
    stream.receiveWindowBytes += stream.takenBytes;
    stream.takenBytes = 0;
  }

  /** @internal It is told of the end of this read. */
  touch(stream: Http2Stream): void {
    if (stream.touched) return;
    stream.touched = true;
    this.#touched.push(stream);
  }

  /** @internal */
  closeIfComplete(stream: Http2Stream): void {
    if (stream.localEnded && stream.remoteEnded && !stream.closed) this.close(stream, "complete", NO_ERROR);
  }

  /** @internal It sent what the rules forbid: the stream ends, and so does the connection if that happens too often. */
  breakRule(stream: Http2Stream, code: number, why: string): void {
    if (stream.closed) return;
    this.sendReset(stream.id, code);
    this.close(stream, "rules", code, why);
    this.guard.reset();
  }

  /** @internal */
  close(stream: Http2Stream, how: StreamClose, code: number, why?: string): void {
    if (stream.closed) return;
    if (stream.id !== 0) {
      this.streams.delete(stream);
      if (how !== "complete" && !stream.remoteEnded) this.#expectLate(stream.receiveWindowBytes);
      this.closedStreams.add(
        stream.id,
        how === "complete" ? "ended" : how === "peer-reset" ? "reset-by-peer" : "reset-by-us",
      );
    }
    // Nobody may come for it: a client can open and reset streams for ever beside a window that it never opens.
    if (stream.inLine) this.#line.remove(stream);
    // An idle client should cost as little memory as it can.
    if (this.streams.size === 0 && this.settings.role === "server") this.memory.useOwn(false);
    stream.end(how, code, why);
    this.owner.onStreamClosed(stream, how);
  }

  /** What the peer has sent, or may send until it hears that a stream is closed. */
  #expectLate(windowBytes: number): void {
    this.lateBytes += Math.max(windowBytes, 0);
    if (!this.acknowledged) this.#closedEarly++;
  }

  /** @internal A GOAWAY came: these were not looked at. */
  closeAbove(lastStreamId: number): void {
    for (const stream of this.streams) {
      if (stream.id > lastStreamId) this.close(stream, "refused", NO_ERROR);
    }
  }

  /** @internal Neither side has opened it. */
  isIdle(streamId: number): boolean {
    const isOurs = (streamId % 2 === 1) === (this.settings.role === "client");
    return isOurs ? streamId >= this.#nextStreamId : streamId > this.lastPeerStreamId;
  }

  /** @internal WINDOW_UPDATE for a stream. */
  widen(stream: Http2Stream, bytes: number): void {
    stream.sendWindowBytes += bytes;
    if (stream.sendWindowBytes > MAX_WINDOW_BYTES) {
      this.breakRule(stream, FLOW_CONTROL_ERROR, "WINDOW_UPDATE beyond the largest window");
    } else if (stream.writableLength > 0 && stream.sendWindowBytes > 0) {
      this.standInLine(stream);
      this.sendOn();
    }
  }

  /** @internal SETTINGS came. */
  takeSettings(buffer: Buffer, from: number, end: number): void {
    const { peer, settings } = this;
    const { initialWindowBytes } = peer;
    peer.read(buffer, from, end, settings.role === "client");
    this.output.acknowledgeSettings();
    // RFC 7541, section 4.2: also if it is as large as before, and was smaller in between.
    this.head.setPeerTableBytes(peer.leastHeaderTableBytes);
    this.head.setPeerTableBytes(peer.headerTableBytes);
    if (peer.initialWindowBytes !== initialWindowBytes) this.#moveWindows(peer.initialWindowBytes - initialWindowBytes);
    this.owner.onSettings();
  }

  /** RFC 9113, section 6.9.2: of streams that are open, too, and by it a window may become negative. */
  #moveWindows(bytes: number): void {
    for (const stream of this.streams) {
      stream.sendWindowBytes += bytes;
      if (stream.sendWindowBytes > MAX_WINDOW_BYTES) {
        throw new Http2ConnectionError(FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE beyond the largest window");
      }
      if (stream.writableLength > 0 && stream.sendWindowBytes > 0) this.standInLine(stream);
    }
    this.sendOn();
  }

  /** @internal From now on the peer keeps to our settings: until then it could not know of them. */
  settingsAcknowledged(): void {
    this.acknowledged = true;
    const more = this.settings.streamWindowBytes - DEFAULT_WINDOW_BYTES;
    for (const stream of this.streams) stream.receiveWindowBytes += more;
    // They may have grown on the other side, which had not heard of their end.
    this.lateBytes += Math.max(more, 0) * this.#closedEarly;
  }

  /** @internal An answer to a PING; `false`: to none of ours. */
  takePong(): boolean {
    if (this.#pings === 0) return false;
    this.#pings--;
    this.owner.onPong();
    return true;
  }

  // What happens.

  /** @internal */
  onData(buffer: Buffer, end: number): void {
    if (this.finished) return;
    this.memory.begin();
    try {
      this.#frames.read(buffer, this.#preface.read(buffer, end), end);
      if (this.#touched.length > 0) this.#tellBatches();
    } catch (error) {
      this.failed(error);
      if (this.#touched.length > 0) this.#tellBatches();
    }
  }

  /** @internal The connection ends by what was thrown. @throws It, if it is no breach of a rule, but a fault: of us, or of a session. */
  failed(error: unknown): void {
    const broken = asConnectionError(error);
    if (!this.finished) {
      this.owner.onConnectionError(broken);
      this.finish(broken.code, broken.what);
    }
    if (broken.code === INTERNAL_ERROR) throw error;
  }

  #tellBatches(): void {
    const touched = this.#touched;
    this.#touched = [];
    for (const stream of touched) stream.touched = false;
    for (const stream of touched) stream.onBatch();
  }

  /** @internal Windows have opened, or the system takes bytes again. */
  sendOn(): void {
    try {
      this.#line.run(this);
    } catch (error) {
      this.failed(error);
    }
  }

  /** @internal */
  onDrain(): void {
    this.output.drained();
    this.sendOn();
  }

  /** @internal */
  onEnd(): void {
    this.owner.onPeerEnd();
  }

  /** @internal */
  onError(error: Error): void {
    this.owner.onError(error);
  }

  /** @internal */
  onClose(): void {
    this.finished = true;
    this.#frames.stop();
    this.output.close();
    this.#closeAll();
    this.owner.onOver();
  }

  #closeAll(): void {
    for (const stream of this.streams) this.close(stream, "connection", NO_ERROR);
  }
}

function onData(this: OwnedStream, chunk: Buffer): void {
  this[OWNER]!.onData(chunk, chunk.length);
}

function onEnd(this: OwnedStream): void {
  this[OWNER]!.onEnd();
}

function onDrain(this: OwnedStream): void {
  this[OWNER]!.onDrain();
}

function onError(this: OwnedStream, error: Error): void {
  this[OWNER]!.onError(error);
}

function onClose(this: OwnedStream): void {
  this[OWNER]!.onClose();
}
