import { setImmediate, setTimeout as delay } from "node:timers/promises";
import { setBufferSizes } from "../../packages/linux/src/index.ts";
import { connectSocket } from "../../packages/proxy/test/support/leg-wires.ts";
import { Http2End, type Http2EndStream } from "./http2-end.ts";
import { lowerCased, messageOf, pseudo } from "./http2-messages.ts";
import type { Fields, Plan } from "./plan.ts";
import { oneOf, random } from "./random.ts";
import type { World } from "./world.ts";

/** Streams that a client has open at a time. */
const MAX_STREAMS = 12;
const RESETS = [8, 8, 0, 2, 5];

/** A client of HTTP/2: all of its exchanges are streams of one connection, many at a time. */
export class Http2Client {
  readonly #world: World;
  readonly #port: number;
  readonly #bufferBytes: number;

  /** @param bufferBytes What the system keeps for it; 0: as much as it likes. */
  constructor(world: World, port: number, bufferBytes: number) {
    this.#world = world;
    this.#port = port;
    this.#bufferBytes = bufferBytes;
  }

  async play(first: number, count: number): Promise<void> {
    const world = this.#world;
    const { secured, socket } = await connectSocket(world.leg, this.#port);
    if (this.#bufferBytes > 0) setBufferSizes(socket, { receiveBytes: this.#bufferBytes });
    const below = random(first);
    const fail = (what: string): void => void world.failures.push(`the proxy, to the client of ${first}: ${what}`);
    const end = new Http2End(secured, { role: "client", below, fail });
    let next = first;
    const lane = async (): Promise<void> => {
      while (next < first + count) await this.#exchange(end, world.planOf(next++), secured);
    };
    await Promise.all(Array.from({ length: 1 + below(MAX_STREAMS) }, lane));
    if (end.over) fail("the connection was closed");
    // Whoever has nothing open has all of the window, but for what is not worth saying yet.
    else await end.until(() => end.sendWindowBytes * 2 >= end.mostSendWindowBytes && end.streams.size === 0);
    secured.destroy();
    socket.destroy();
  }

  async #exchange(end: Http2End, planned: Plan, socket: { pause(): unknown; resume(): unknown }): Promise<void> {
    const world = this.#world;
    const { leaves, request, seed } = planned;
    const below = random(seed + 6);
    if (below(12) === 0) end.changeWindow();
    world.begins(planned);
    const stream = end.open(requestFields(planned), request.framing === "none");
    stream.stalled = below(4) === 0;
    const sent = this.#send(stream, planned);
    if (leaves === "in the upload") await sent;
    if (leaves === "in the answer") await stream.until(() => stream.bodyBytes > 0);
    if (leaves !== undefined) {
      for (let turns = below(6); turns > 0; turns--) await setImmediate();
      world.left(planned);
      stream.reset(oneOf(below, RESETS));
      await sent;
      return;
    }
    if (stream.stalled) {
      await stream.until(() => stream.bodyBytes > 0);
      await delay(below(5));
      stream.goOn();
    }
    if (below(10) === 0) {
      socket.pause();
      await delay(below(5));
      socket.resume();
    }
    await stream.until(() => false);
    this.#check(stream, planned);
    // Asked by NO_ERROR to stop, or told to the end.
    await sent;
  }

  #check(stream: Http2EndStream, planned: Plan): void {
    const interim = stream.interim.filter((fields) => pseudo(fields, ":status") === "103").length;
    const { body, ended, resetCode } = stream;
    if (ended) this.#world.checkResponse(planned, messageOf(stream, this.#failed(planned)), interim);
    else this.#world.checkResponse(planned, { body, error: `reset by ${resetCode}` }, interim);
  }

  #failed(planned: Plan): (what: string) => void {
    return (what) => this.#world.fail(planned, what);
  }

  async #send(stream: Http2EndStream, { leaves, request, seed }: Plan): Promise<void> {
    const { body, framing, trailers } = request;
    if (framing === "none") return;
    const below = random(seed + 2);
    if (leaves === "in the upload") {
      // Without a length all of it may be there but the end.
      const least = framing === "chunked" ? 0 : 1;
      await stream.send(body.subarray(0, body.length - least - below(body.length)), false);
      return;
    }
    await stream.send(body, trailers.length === 0);
    if (trailers.length > 0) stream.head(lowerCased(trailers), true);
  }
}

function requestFields(planned: Plan): Fields {
  const { acceptsGzip, expects, method, request, seed } = planned;
  const fields: [string, string][] = [
    [":method", method],
    [":scheme", "http"],
    [":path", `/${seed}`],
    [":authority", "test"],
  ];
  if (acceptsGzip) fields.push(["accept-encoding", "gzip"]);
  if (expects) fields.push(["expect", "100-continue"]);
  if (request.framing === "content-length") fields.push(["content-length", String(request.body.length)]);
  return [...fields, ...lowerCased(request.fields)];
}
