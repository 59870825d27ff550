// What a request over HTTP/2 costs without a system below: `node packages/core/bench/http2-server.bench.ts`. Prints nanoseconds per
// request, from the bytes that a client sends to those that it gets.
import { strictEqual } from "node:assert";
import { ResponseHeader } from "@sluice/http";
import type { HttpApp, ServerSession } from "../src/http/server-session.ts";
import { resolveHttp1ServerOptions } from "../src/http1/server-options.ts";
import { HpackEncoder } from "../src/http2/hpack/encoder.ts";
import { Http2ServerConnection } from "../src/http2/http2-server-connection.ts";
import { resolveHttp2ServerOptions } from "../src/http2/server-options.ts";
import type { ByteStream } from "../src/net/byte-stream.ts";
import { FLAG, FRAME, frameBytes } from "../src/testing/index.ts";
import { nanosecondsEach, printLine } from "./median.ts";

/** Requests of one read, as eight connections with eight streams each bring them. */
const BATCH = 8;
const ROUNDS = 10_000;

/** Takes everything at once, and counts it. */
class Sink {
  onData: ((chunk: Buffer) => void) | undefined = undefined;
  bytes = 0;
  readonly destroyed = false;
  readonly writableLength = 0;

  on(event: string, listener: (chunk: Buffer) => void): this {
    if (event === "data") this.onData = listener;
    return this;
  }

  write(chunk: string | Uint8Array, taken: unknown): boolean {
    this.bytes += chunk.length;
    if (typeof taken === "function") (taken as () => void)();
    return true;
  }

  resume(): void {}
  pause(): void {}
  end(): void {}
  destroy(): void {}
}

/** Never settled: nothing runs between the rounds, and what is to be done then would only pile up. */
class Unsettled extends Promise<void> {
  // oxlint-disable-next-line unicorn/no-thenable -- that is what it is for
  override then<A = void, B = never>(): Promise<A | B> {
    return this as unknown as Promise<A | B>;
  }
}
const UNSETTLED = new Unsettled(() => undefined);

const REQUEST: readonly (readonly [name: string, value: string])[] = [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", "www.example.org"],
  [":path", "/assets/app.js?v=17"],
  ["user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"],
  ["accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
  ["accept-language", "en-US,en;q=0.5"],
  ["accept-encoding", "gzip, deflate, br, zstd"],
  ["cookie", "session=0123456789abcdef0123456789abcdef"],
];

function headFields(size: number): string[] {
  return ["Server", "nginx", "Content-Type", "text/plain", "Content-Length", String(size), "ETag", '"6b099cb8-d"'];
}

for (const size of [0, 13, 1024, 65_536]) {
  const body = Buffer.alloc(size, "a");
  let answered = 0;
  const answer = (session: ServerSession): void => {
    session.writeHeader(new ResponseHeader(200, undefined, "1.1", headFields(size)), size === 0);
    if (size > 0) session.writeBody(body);
    session.finish();
    answered++;
  };
  const app: HttpApp = {
    handleRequest(session) {
      answer(session);
      return UNSETTLED;
    },
  };
  const sink = new Sink();
  const options = resolveHttp2ServerOptions({ maxControlFrames: 1e12 }, resolveHttp1ServerOptions());
  void new Http2ServerConnection(sink as unknown as ByteStream, app, options, () => undefined);
  sink.onData!(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frameBytes(FRAME.SETTINGS, 0, 0)]));
  const encoder = new HpackEncoder();
  const scratch = Buffer.alloc(4096);
  let id = 1;
  const rounds = size > 10_000 ? ROUNDS / 10 : ROUNDS;
  const batches = rounds * 8;
  const reads: Buffer[] = [];
  for (let read = 0; read < batches; read++) reads.push(nextRead());
  let at = 0;
  const taken = Buffer.alloc(4);
  taken.writeUInt32BE(BATCH * size);
  const wider = frameBytes(FRAME.WINDOW_UPDATE, 0, 0, taken);
  // For the first responses.
  sink.onData!(frameBytes(FRAME.WINDOW_UPDATE, 0, 0, Buffer.from([0, 0x10, 0, 0])));
  sink.onData!(frameBytes(FRAME.SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0x10, 0, 0])));
  const nanoseconds = nanosecondsEach(rounds, () => {
    if (size > 0) sink.onData!(wider);
    sink.onData!(reads[at++]!);
  });
  strictEqual(answered, at * BATCH);
  strictEqual(sink.bytes > answered * size - 100_000, true);
  printLine(`GET with nine fields, a response of ${size} bytes`, nanoseconds / BATCH, "request");

  function nextRead(): Buffer {
    const frames: Buffer[] = [];
    for (let request = 0; request < BATCH; request++) {
      let end = encoder.begin(scratch, 0);
      for (const [name, value] of REQUEST) end = encoder.field(scratch, end, name, value);
      frames.push(frameBytes(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, id, scratch.subarray(0, end)));
      id += 2;
    }
    return Buffer.concat(frames);
  }
}
