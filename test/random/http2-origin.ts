import { createServer, type AddressInfo, type Socket } from "node:net";
import { secureAccepted } from "../../packages/proxy/test/support/leg-wires.ts";
import { Http2End, settingsOfOrigin, type Http2EndStream } from "./http2-end.ts";
import { lowerCased, messageOf, pseudo } from "./http2-messages.ts";
import { originBody, type Plan } from "./plan.ts";
import { oneOf, random, type Below } from "./random.ts";
import type { World } from "./world.ts";

const REFUSED_STREAM = 7;
const INTERNAL_ERROR = 2;
const RESETS = [0, 2, 8, 11];

/** An origin of HTTP/2. */
export class Http2Origin implements AsyncDisposable {
  readonly address: string;
  readonly failures: unknown[] = [];
  readonly #connections: OriginConnection[] = [];
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>, world: World) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket) => {
      socket.on("error", () => undefined);
      const accept = (secured: Socket): void =>
        void this.#connections.push(
          new OriginConnection(world, socket, secured, this.#connections.length, this.failures),
        );
      if (world.leg.tls) secureAccepted(2, socket, accept);
      else accept(socket);
    });
  }

  static async start(world: World): Promise<Http2Origin> {
    const server = createServer({ noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Http2Origin(server, world);
  }

  /** Resolves when nothing is open on any connection, and all of its window has come back. */
  async settled(): Promise<void> {
    for (const { end } of this.#connections)
      await end.until(() => end.streams.size === 0 && end.sendWindowBytes * 2 >= end.mostSendWindowBytes);
  }

  /** Connections that are there. */
  get openCount(): number {
    return this.#connections.filter(({ end }) => !end.over).length;
  }

  /** What is not settled. */
  get unsettled(): string[] {
    return this.#connections.flatMap(({ end: { over, mostSendWindowBytes, sendWindowBytes, streams } }, index) =>
      over || (streams.size === 0 && sendWindowBytes * 2 >= mostSendWindowBytes)
        ? []
        : [
            `connection ${index}: streams ${[...streams.keys()].join()}, window ${sendWindowBytes} of ${mostSendWindowBytes}`,
          ],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const { socket } of this.#connections) socket.destroy();
    await closed;
  }
}

/** One connection of an {@link Http2Origin}. */
class OriginConnection {
  readonly socket: Socket;
  readonly end: Http2End;
  readonly #world: World;
  /** All that came by it. */
  readonly #seeds = new Set<number>();
  /** Streams that are under way. */
  #open = 0;
  /** Streams above it are not taken. */
  #lastTaken = Number.POSITIVE_INFINITY;
  #leaving = false;
  #isEnding = false;
  /** It is cut; what comes is lost. */
  #isCut = false;

  constructor(world: World, socket: Socket, secured: Socket, index: number, failures: unknown[]) {
    this.#world = world;
    this.socket = socket;
    const below = random(index + 7);
    this.end = new Http2End(
      secured,
      {
        role: "server",
        below,
        fail: (what) => world.failures.push(`the proxy, to connection ${index} of the origin: ${what}`),
        onStream: (stream) => {
          this.#open++;
          this.#serve(stream)
            .catch((error: unknown) => failures.push(error))
            .finally(() => this.#over());
        },
      },
      settingsOfOrigin(below),
    );
  }

  async #serve(stream: Http2EndStream): Promise<void> {
    const world = this.#world;
    const planned = world.planOfTarget(pseudo(stream.fields!, ":path")!);
    const { early, isCut, losesHead, seed } = planned;
    const below = random(seed + 1);
    if (below(10) === 0) this.end.changeWindow();
    if (this.#isCut) {
      world.lost([seed]);
      return;
    }
    if (stream.id > this.#lastTaken) {
      world.refused.add(seed);
      return;
    }
    if (await this.#refuses(stream, planned, below)) return;
    world.taken(planned);
    this.#seeds.add(seed);
    const request = this.#readRequest(stream, planned, below);
    if (!early && !(await request)) return;
    if (losesHead) {
      this.#cut(stream, planned, below);
      return;
    }
    await this.#answer(stream, planned, below);
    if (isCut) this.#cut(stream, planned, below);
    else await request;
  }

  /** Once for each request, if its plan says so. */
  async #refuses(stream: Http2EndStream, { early, refusal, seed }: Plan, below: Below): Promise<boolean> {
    const { refused } = this.#world;
    if (refusal === undefined || refused.has(seed)) return false;
    refused.add(seed);
    if (refusal === "goes away") {
      if (this.#leaving) return false;
      // It may be the last that is taken, or the first that is not.
      const isTaken = below(2) === 0;
      this.#goAway(isTaken ? stream.id : stream.id - 2);
      return !isTaken;
    }
    if (refusal === "refuses late" && !early) await stream.until(() => stream.bodyBytes > 0);
    stream.reset(REFUSED_STREAM);
    return true;
  }

  /** Takes no more; what is under way up to there goes on. Those above were taken before, if they were, and are left alone then. */
  #goAway(last: number): void {
    this.#leaving = true;
    this.#lastTaken = last;
    this.#world.goneAway();
    this.end.goAway(Math.max(last, 0));
  }

  #over(): void {
    this.#open--;
    if (!this.#leaving || this.#open > 0 || this.#isCut) return;
    this.#isEnding = true;
    void this.end.finish();
  }

  /** Gives whether all of it came. */
  async #readRequest(stream: Http2EndStream, planned: Plan, below: Below): Promise<boolean> {
    const world = this.#world;
    if (planned.expects && stream.fields!.some(([name]) => name === "expect")) stream.head([[":status", "100"]], false);
    stream.stalled = below(5) === 0;
    if (stream.stalled) {
      await stream.until(() => stream.bodyBytes > 0);
      for (let turns = below(5); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      stream.goOn();
    }
    await stream.until(() => false);
    if (stream.ended)
      world.checkRequest(
        planned,
        messageOf(stream, (what) => world.fail(planned, what)),
        true,
      );
    else world.checkPartOfRequest(planned, stream.body);
    return stream.ended;
  }

  async #answer(stream: Http2EndStream, planned: Plan, below: Below): Promise<void> {
    const { interim, isCut, method, originEncodes, response, seed, status } = planned;
    for (let n = 0; n < interim; n++) {
      const hints = [
        [":status", "103"],
        ["link", "</a>"],
      ] as const;
      stream.head(hints, false);
    }
    const { fields, framing, trailers } = response;
    const body = originBody(planned);
    const head: [string, string][] = [
      [":status", String(status)],
      ["x-seed", String(seed)],
      ["content-type", "text/plain"],
    ];
    if (originEncodes) head.push(["content-encoding", "gzip"]);
    if (framing === "content-length") head.push(["content-length", String(body.length)]);
    const bodiless = framing === "none" || method === "HEAD";
    const endsWithHead = bodiless && below(2) === 0;
    stream.head([...head, ...lowerCased(fields)], endsWithHead);
    if (endsWithHead) return;
    if (bodiless) {
      await stream.send(Buffer.alloc(0), true);
      return;
    }
    if (isCut) {
      // Without a length all of it may be there but the end.
      const least = framing === "content-length" ? 1 : 0;
      await stream.send(body.subarray(0, body.length - least - below(Math.min(body.length, 40_000))), false);
      return;
    }
    await stream.send(body, trailers.length === 0);
    if (trailers.length > 0) stream.head(lowerCased(trailers), true);
  }

  #cut(stream: Http2EndStream, { cutBy, losesHead }: Plan, below: Below): void {
    if (cutBy === "reset" || !this.#world.losesConnections) {
      // REFUSED_STREAM, in the place of a head, would say that it was not taken.
      stream.reset(oneOf(below, losesHead ? RESETS : [...RESETS, REFUSED_STREAM]));
      return;
    }
    // One that ends already cannot be reset: Node would never close it.
    if (this.#isCut || this.#isEnding) return;
    this.#isCut = true;
    this.#world.lost(this.#seeds);
    if (cutBy === "GOAWAY") this.end.goAway(this.end.lastStreamId, INTERNAL_ERROR);
    if (cutBy === "TCP reset") this.socket.resetAndDestroy();
    else void this.end.finish();
  }
}
