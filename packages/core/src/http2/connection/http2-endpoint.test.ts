import { array, asyncProperty, assert, integer, record } from "fast-check";
import { describe, expect, test } from "vitest";
import { streamPair } from "../../testing/index.ts";
import { NO_RECEIVER } from "../heads/field-rules.ts";
import type { FieldReceiver } from "../hpack/decoder.ts";
import type { HeadWriter } from "./head-writer.ts";
import type { Http2ConnectionError } from "./http2-connection-error.ts";
import type { EndpointOwner, EndpointSettings } from "./endpoint-owner.ts";
import { Http2Endpoint } from "./http2-endpoint.ts";
import { Http2Stream, type StreamClose } from "./http2-stream.ts";

const SETTINGS: EndpointSettings = {
  role: "server",
  streamWindowBytes: 65_535,
  connectionWindowBytes: 65_535,
  creditsConnection: "when-taken",
  maxFrameBytes: 16_384,
  maxHeaderListBytes: 100_000,
  maxConcurrentStreams: 100,
  extendedConnect: false,
  maxResets: 100,
  maxControlFrames: Number.POSITIVE_INFINITY,
};

/** Both sides of a test: a client's stream sends a body, a server's sends back what comes; both as fast as they may. */
class TestStream extends Http2Stream {
  got = "";
  ended = false;
  how: StreamClose | undefined = undefined;
  readonly done: Promise<void>;
  #resolve!: () => void;
  readonly #echo: boolean;
  #full = false;
  #waiting: Buffer[] = [];
  #endWaits = false;

  constructor(endpoint: Http2Endpoint, id: number, remoteEnded: boolean) {
    super(endpoint, id, remoteEnded);
    this.#echo = id !== 0;
    this.done = new Promise((resolve) => (this.#resolve = resolve));
    this.read(true);
    if (!this.#echo) return;
    this.sendHead(false);
    if (remoteEnded) this.sendEnd(false);
  }

  /** As a client: a request with a body in chunks. */
  send(chunks: readonly Buffer[], endWithHead = false): void {
    this.sendHead(endWithHead);
    this.#waiting = [...chunks];
    this.#endWaits = !endWithHead;
    this.#sendOn();
  }

  #sendOn(): void {
    while (!this.#full && this.#waiting.length > 0) {
      const chunk = this.#waiting.shift()!;
      this.#full = !this.sendData(chunk);
      // It may be used again at once.
      if (!this.holdsBytes) chunk.fill(0);
    }
    if (!this.#full && this.#endWaits && !this.endIsSent) this.sendEnd(false);
    if (this.#echo) this.read(!this.#full);
  }

  beginFields(): FieldReceiver {
    this.takesData = true;
    return NO_RECEIVER;
  }

  endFields(): void {}

  protected onData(chunk: Buffer): void {
    this.got += chunk.toString("latin1");
    if (!this.#echo) return;
    this.#waiting.push(Buffer.from(chunk));
    this.#sendOn();
  }

  protected onEnd(): void {
    this.ended = true;
    if (!this.#echo) return;
    this.#endWaits = true;
    this.#sendOn();
  }

  onBatch(): void {}

  protected onDrained(): void {
    this.#full = false;
    this.#sendOn();
  }

  onClosed(how: StreamClose): void {
    this.how = how;
    this.#resolve();
  }

  protected writeHead(head: HeadWriter): void {
    head.field(this.#echo ? ":status" : ":method", this.#echo ? "200" : "POST");
  }

  protected writeTrailers(): void {}

  sendHeadOnly(): void {
    this.sendHead(false);
  }

  stopReading(): void {
    this.read(false);
  }

  more(chunk: Buffer): void {
    this.sendData(chunk);
  }
}

class TestOwner implements EndpointOwner {
  readonly errors: Http2ConnectionError[] = [];
  readonly opened: TestStream[] = [];
  pongs = 0;
  goaways: [code: number, last: number][] = [];
  endpoint!: Http2Endpoint;

  beginRequest(): FieldReceiver {
    return NO_RECEIVER;
  }

  openStream(streamId: number, endStream: boolean): void {
    this.opened.push(new TestStream(this.endpoint, streamId, endStream));
  }

  onRefused(): void {}
  onSettings(): void {}
  onStreamClosed(): void {}
  onPeerEnd(): void {}
  onError(): void {}
  onOver(): void {}

  onGoaway(code: number, lastStreamId: number): void {
    this.goaways.push([code, lastStreamId]);
  }

  onPong(): void {
    this.pongs++;
  }

  onConnectionError(error: Http2ConnectionError): void {
    this.errors.push(error);
  }
}

interface Both {
  readonly client: TestOwner;
  readonly server: TestOwner;
  readonly pair: ReturnType<typeof streamPair>;
}

function connect(
  settings: { client?: Partial<EndpointSettings>; server?: Partial<EndpointSettings> } = {},
  options: Parameters<typeof streamPair>[0] = {},
): Both {
  const pair = streamPair(options);
  const client = new TestOwner();
  const server = new TestOwner();
  client.endpoint = new Http2Endpoint(pair.remote, client, { ...SETTINGS, role: "client", ...settings.client });
  server.endpoint = new Http2Endpoint(pair.local, server, { ...SETTINGS, ...settings.server });
  return { client, server, pair };
}

const letters = (length: number, from: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, at) => 97 + ((at + from) % 26)));

describe("two endpoints", () => {
  test("pass bodies both ways unharmed, in any windows, however the bytes are cut", async () => {
    const bodies = array(array(integer({ min: 1, max: 90_000 }), { maxLength: 4 }), { minLength: 1, maxLength: 6 });
    const windows = record({
      streamWindowBytes: integer({ min: 1000, max: 200_000 }),
      connectionWindowBytes: integer({ min: 65_535, max: 300_000 }),
    });
    const pieceBytes = integer({ min: 500, max: 80_000 });
    await assert(
      asyncProperty(bodies, windows, windows, pieceBytes, async (sizes, up, down, bytes) => {
        const both = connect(
          { client: down, server: up },
          { toLocal: { pieceBytes: bytes, windowBytes: 30_000 }, toRemote: { pieceBytes: bytes, windowBytes: 30_000 } },
        );
        const wanted = sizes.map((chunks, index) => chunks.map((size) => letters(size, index)));
        const texts = wanted.map((chunks) => Buffer.concat(chunks).toString("latin1"));
        const streams = wanted.map((chunks) => {
          const stream = new TestStream(both.client.endpoint, 0, false);
          stream.send(chunks);
          return stream;
        });
        await Promise.all(streams.map(({ done }) => done));
        expect(streams.map(({ how, got }, index) => [how, got === texts[index]])).toEqual(
          streams.map(() => ["complete", true]),
        );
        expect(both.server.opened.map(({ got }) => got)).toEqual(texts);
        expect([...both.client.errors, ...both.server.errors]).toEqual([]);
        expect([both.client.endpoint.streams.size, both.server.endpoint.streams.size]).toEqual([0, 0]);
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  test("a stream that nobody reads holds up no other, where bytes are given back as they come", async () => {
    const { client, server } = connect({ server: { creditsConnection: "when-received", streamWindowBytes: 60_000 } });
    const held = new TestStream(client.endpoint, 0, false);
    held.sendHeadOnly();
    await until(() => server.opened.length === 1);
    server.opened[0]!.stopReading();
    held.more(letters(60_000, 0));
    const streams = [1, 2, 3].map((index) => {
      const stream = new TestStream(client.endpoint, 0, false);
      stream.send([letters(50_000, index)]);
      return stream;
    });
    await Promise.all(streams.map(({ done }) => done));
    expect(streams.map(({ got }) => got.length)).toEqual([50_000, 50_000, 50_000]);
  });

  test("PING is answered", async () => {
    const { client, pair } = connect();
    client.endpoint.ping();
    client.endpoint.ping();
    await pair.flush();
    expect(client.pongs).toBe(2);
  });

  test("streams above a GOAWAY's last are told that nobody looked at them, others go on", async () => {
    const { client, server, pair } = connect();
    const [first, second] = [0, 1].map(() => new TestStream(client.endpoint, 0, false)) as [TestStream, TestStream];
    for (const stream of [first, second]) stream.send([letters(10, 0)], false);
    await first.done;
    const third = new TestStream(client.endpoint, 0, false);
    server.endpoint.goaway(3);
    third.send([letters(10, 0)]);
    await pair.flush();
    expect([first.how, second.how, third.how]).toEqual(["complete", "complete", "refused"]);
    expect(client.goaways).toEqual([[0, 3]]);
    expect(server.opened).toHaveLength(2);
  });

  test("what ends a connection is told to all streams, with its code to the other side", async () => {
    const { client, server, pair } = connect();
    const stream = new TestStream(client.endpoint, 0, false);
    stream.sendHeadOnly();
    await until(() => server.opened.length === 1);
    server.endpoint.finish(11, "enough");
    await pair.flush();
    expect(server.opened[0]!.how).toBe("connection");
    expect(client.goaways).toEqual([[11, 1]]);
    pair.remote.destroy();
    await stream.done;
    expect(stream.how).toBe("connection");
  });

  test("a reset reaches the other side, and what comes for it later is ignored", async () => {
    const { client, server, pair } = connect();
    const stream = new TestStream(client.endpoint, 0, false);
    stream.sendHeadOnly();
    await until(() => server.opened.length === 1);
    server.opened[0]!.reset(8);
    stream.more(letters(1000, 0));
    await stream.done;
    await pair.flush();
    expect([stream.how, server.opened[0]!.how]).toEqual(["peer-reset", "own-reset"]);
    expect([...client.errors, ...server.errors]).toEqual([]);
  });
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
