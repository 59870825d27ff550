import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import {
  ACK,
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldBlock,
  frame,
  GOAWAY,
  HEADERS,
  numbers,
  PING,
  PREFACE,
  readFrames,
  RST_STREAM,
  SETTINGS,
  settingsFrame,
  WINDOW_UPDATE,
  type Frame,
} from "./http2-frames.ts";

/** A connection of a {@link FrameOrigin}: says what the test says, and keeps what it hears until it is asked for. */
export class FrameConnection {
  readonly socket: Socket;
  /** Everything that came, in order. */
  readonly heard: Frame[] = [];
  /** Answer PING. */
  answersPing = true;
  /** The other side has ended its direction, or is gone. */
  closed = false;
  readonly #settings: Settings | undefined;
  readonly #http1: string | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #preface = false;
  #taken = 0;
  readonly #waiters = new Set<() => void>();

  constructor(socket: Socket, settings: Settings | undefined, http1: string | undefined) {
    this.socket = socket;
    this.#settings = settings;
    this.#http1 = http1;
    const onClosed = (): void => {
      this.closed = true;
      this.#wake();
    };
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", () => undefined);
    socket.on("end", onClosed).on("close", onClosed);
    if (settings !== undefined && http1 === undefined) this.send(settingsFrame(settings));
  }

  /** The next frame of that type that was not taken yet; what came before it is passed over. */
  async next(type: number): Promise<Frame> {
    for (;;) {
      while (this.#taken < this.heard.length) {
        const heard = this.heard[this.#taken++]!;
        if (heard.type === type && !(type === SETTINGS && (heard.flags & ACK) !== 0)) return heard;
      }
      if (this.closed) throw new Error(`the connection closed while waiting for a frame of type ${type}`);
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  /** Resolves with the first frame that came and fits, taken or not. */
  async find(fits: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.heard.find(fits);
      if (found !== undefined) return found;
      if (this.closed) throw new Error("the connection closed while waiting for a frame");
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  /** The id of the next request's stream. */
  async request(): Promise<number> {
    return (await this.next(HEADERS)).streamId;
  }

  async whenClosed(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => this.#waiters.add(resolve));
  }

  send(...frames: Buffer[]): this {
    this.socket.write(Buffer.concat(frames));
    return this;
  }

  #onData(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest, chunk]);
    if (!this.#preface) {
      if (this.#http1 !== undefined && !chunk.toString("latin1").startsWith("PRI")) {
        this.socket.write(this.#http1);
        return;
      }
      if (bytes.length < PREFACE.length) {
        this.#rest = bytes;
        return;
      }
      this.#preface = true;
      if (this.#settings !== undefined && this.#http1 !== undefined) this.send(settingsFrame(this.#settings));
      bytes = bytes.subarray(PREFACE.length);
    }
    const { frames, rest } = readFrames(bytes);
    this.#rest = rest;
    for (const heard of frames) {
      this.heard.push(heard);
      if (heard.type === SETTINGS && heard.flags === 0 && this.#settings !== undefined)
        this.send(frame(SETTINGS, ACK, 0));
      if (heard.type === PING && heard.flags === 0 && this.answersPing) this.send(frame(PING, ACK, 0, heard.payload));
    }
    this.#wake();
  }

  #wake(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }
}

export function head(streamId: number, fields: Readonly<Record<string, string>>, end = false): Buffer {
  return frame(HEADERS, END_HEADERS | (end ? END_STREAM : 0), streamId, fieldBlock(Object.entries(fields)));
}

export function data(streamId: number, text: string | Buffer, end = false): Buffer {
  return frame(DATA, end ? END_STREAM : 0, streamId, Buffer.from(text as string));
}

/** `200`, with `body`. */
export function ok(streamId: number, body = "ok"): Buffer {
  return Buffer.concat([head(streamId, { ":status": "200" }), data(streamId, body, true)]);
}

export function reset(streamId: number, code: number): Buffer {
  return frame(RST_STREAM, 0, streamId, numbers(code));
}

export function goaway(lastStreamId: number, code = 0, debug = ""): Buffer {
  return frame(GOAWAY, 0, 0, Buffer.concat([numbers(lastStreamId, code), Buffer.from(debug, "latin1")]));
}

export function grant(streamId: number, bytes: number): Buffer {
  return frame(WINDOW_UPDATE, 0, streamId, numbers(bytes));
}

/** What the origin says of itself, by number. */
type Settings = Readonly<Record<number, number>>;

type FrameScript = (connection: FrameConnection, index: number) => Promise<unknown>;

/** An HTTP/2 origin frame by frame, for what Node's own server does not do. */
export class FrameOrigin implements AsyncDisposable {
  readonly address: string;
  readonly connections: FrameConnection[] = [];
  /** What scripts threw. */
  readonly failures: unknown[] = [];
  readonly #server: Server;
  #onConnection: () => void = () => undefined;

  private constructor(server: Server, script: FrameScript, settings: Settings | undefined, http1: string | undefined) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket) => {
      const connection = new FrameConnection(socket, settings, http1);
      this.connections.push(connection);
      this.#onConnection();
      script(connection, this.connections.length - 1).catch((error: unknown) => this.failures.push(error));
    });
  }

  /** @param script What it does on a connection. */
  static async start(script: FrameScript = async () => undefined, settings: Settings = {}): Promise<FrameOrigin> {
    return new FrameOrigin(await listening(), script, settings, undefined);
  }

  /** An origin that accepts, and says nothing by itself, no SETTINGS either. */
  static async silent(): Promise<FrameOrigin> {
    return new FrameOrigin(await listening(), async () => undefined, undefined, undefined);
  }

  /** An origin that also speaks HTTP/1, if spoken to: it answers everything with this text. */
  static async bilingual(http1: string, script: FrameScript): Promise<FrameOrigin> {
    return new FrameOrigin(await listening(), script, {}, http1);
  }

  /** The connection of that index, once it is there. */
  async connection(index = 0): Promise<FrameConnection> {
    while (this.connections.length <= index) await new Promise<void>((resolve) => (this.#onConnection = resolve));
    return this.connections[index]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const { socket } of this.connections) socket.destroy();
    await closed;
  }
}

async function listening(): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}
