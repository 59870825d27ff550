import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Server } from "node:net";
import { setImmediate, setTimeout as delay } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { setBufferSizes } from "../../packages/linux/src/index.ts";
import { chunked, readBody, readHead, type Message } from "../../packages/proxy/test/support/message.ts";
import { Origin, type OriginConnection } from "../../packages/proxy/test/support/origin.ts";
import { startProxy, type TestProxy } from "../../packages/proxy/test/support/proxy.ts";
import { WireEnded, type Wire } from "../../packages/proxy/test/support/wire.ts";
import { bodyBehind, fieldsBehind, mayEnd, originBody, plan, type Fields, type Hooks, type Plan } from "./plan.ts";
import { cut, oneOf, random, type Below } from "./random.ts";
import { randomApp } from "./random-app.ts";

const EXCHANGES = Number(process.env["SLUICE_RANDOM_EXCHANGES"] ?? 24);
const SEED = Number(process.env["SLUICE_RANDOM_SEED"] ?? 1);
const CLIENTS = 6;
/** Requests that a client sends without waiting for an answer. */
const MAX_PIPELINED = 6;
/** Small, so that most writes have to wait for the other side. Bytes. */
const SMALL_BUFFER = 8192;

const NONE: Hooks = { requestBody: false, upstreamResponseBody: false, responseBody: false, module: false };
const HOOKS: Record<string, Hooks> = {
  "without body hooks": NONE,
  "with filters of the response body": { ...NONE, responseBody: true },
  "with filters of both bodies": { ...NONE, requestBody: true, upstreamResponseBody: true, responseBody: true },
  "with modules": { ...NONE, module: true },
  "with filters and modules": { requestBody: true, upstreamResponseBody: true, responseBody: true, module: true },
};

/** Of `node:net`, when a server listens. */
const LISTENING = "tracing:net.server.listen:asyncEnd";

class World {
  readonly failures: unknown[] = [];
  readonly #plans = new Map<number, Plan>();
  readonly #hooks: Hooks;
  /** How often an origin has seen the request of a seed. */
  readonly seen = new Map<number, number>();

  constructor(hooks: Hooks) {
    this.#hooks = hooks;
  }

  planOf(seed: number): Plan {
    let planned = this.#plans.get(seed);
    if (planned === undefined) this.#plans.set(seed, (planned = plan(seed, this.#hooks)));
    return planned;
  }

  readonly planOfTarget = (target: string): Plan => this.planOf(Number(target.slice(1)));

  fail(planned: Plan, what: string): void {
    this.failures.push(`${planned.seed}: ${what}`);
  }

  readonly playOrigin = async (connection: OriginConnection): Promise<void> => {
    for (;;) {
      const head = await readHead(connection);
      const planned = this.planOfTarget(head.startLine.split(" ")[1]!);
      const { early, expects, isCut, method, response, seed } = planned;
      const below = random(seed + 1);
      this.seen.set(seed, (this.seen.get(seed) ?? 0) + 1);
      if (expects && head.field("expect") !== undefined) connection.send("HTTP/1.1 100 Continue\r\n\r\n");
      if (!early) this.#checkRequest(planned, await readBody(connection, head, false));
      const bytes = responseBytes(planned);
      const part = isCut
        ? bytes.subarray(0, bytes.length - 1 - below(Math.min(originBody(planned).length, 40_000)))
        : bytes;
      await sendCut(connection, part, below);
      const untilClose = response.framing === "until-close" && method !== "HEAD";
      if (isCut || untilClose) {
        connection.end();
        return;
      }
      if (early) this.#checkRequest(planned, await readBody(connection, head, false));
    }
  };

  #checkRequest(planned: Plan, message: Message): void {
    const { request } = planned;
    if (!message.body.equals(bodyBehind(request)))
      this.fail(planned, different("request body", message.body, bodyBehind(request)));
    this.#checkFields(planned, "request fields", message.fields, fieldsBehind(request));
    const trailers = message.field("transfer-encoding") === undefined ? [] : request.trailers;
    this.#checkFields(planned, "request trailers", message.trailers, trailers);
  }

  #checkFields(planned: Plan, what: string, got: Fields, wanted: Fields): void {
    const show = (fields: Fields): string => JSON.stringify(fields.filter(([name]) => /^x-[ft]/i.test(name)));
    if (show(got) !== show(wanted)) this.fail(planned, `${what} ${show(got)} instead of ${show(wanted)}`);
  }

  /** What a client made of it; nothing if it was cut. */
  checkResponse(planned: Plan, answer: Message | undefined, interim: number, error?: unknown): void {
    const { isCut, response, status, version } = planned;
    if (isCut) {
      if (answer !== undefined && answer.status !== 502) this.fail(planned, `${answer.status} to what was cut`);
      return;
    }
    if (answer === undefined) return this.fail(planned, `cut: ${String(error)}`);
    if (answer.status !== status) return this.fail(planned, `status ${answer.status} instead of ${status}`);
    if (answer.field("connection") === "close" && !mayEnd(planned))
      this.fail(planned, "the connection is not to go on");
    if (interim !== (version === "1.0" ? 0 : planned.interim)) this.fail(planned, `${interim} interim heads`);
    if (answer.field("x-seed") !== String(planned.seed)) this.fail(planned, `the answer of ${answer.field("x-seed")}`);
    const coded = answer.field("content-encoding") === "gzip" && answer.body.length > 0;
    const body = coded ? gunzipSync(answer.body) : answer.body;
    const wanted = response.framing === "none" || planned.method === "HEAD" ? Buffer.alloc(0) : bodyBehind(response);
    if (!body.equals(wanted)) this.fail(planned, different("response body", body, wanted));
    this.#checkFields(planned, "response fields", answer.fields, fieldsBehind(response));
    const isChunked = answer.field("transfer-encoding") !== undefined && planned.method !== "HEAD";
    this.#checkFields(planned, "response trailers", answer.trailers, isChunked ? response.trailers : []);
  }
}

function different(what: string, got: Buffer, wanted: Buffer): string {
  const at = got.findIndex((byte, index) => byte !== wanted[index]);
  return `${what}: ${got.length} bytes instead of ${wanted.length}, the first other one at ${at}`;
}

/** Lines with as much space as may be there. */
function linesOf(below: Below, fields: Fields): string {
  const spaces = [" ", " ", " ", "", "  ", "\t "];
  return fields
    .map(([name, value]) => `${name}:${oneOf(below, spaces)}${value}${oneOf(below, ["", "", " ", "\t"])}\r\n`)
    .join("");
}

function requestBytes(planned: Plan): Buffer {
  const { acceptsGzip, closes, expects, method, request, seed, version } = planned;
  const below = random(seed + 2);
  const { body, fields, framing, trailers } = request;
  const lines = [
    "Host: test\r\n",
    acceptsGzip ? "Accept-Encoding: gzip\r\n" : "",
    expects ? "Expect: 100-continue\r\n" : "",
    closes ? "Connection: close\r\n" : version === "1.0" ? "Connection: keep-alive\r\n" : "",
    framing === "none"
      ? ""
      : framing === "chunked"
        ? "Transfer-Encoding: chunked\r\n"
        : `Content-Length: ${body.length}\r\n`,
    linesOf(below, fields),
  ];
  const head = `${method} /${seed} HTTP/${version}\r\n${lines.join("")}\r\n`;
  const content = framing === "chunked" ? chunked(body, 1 + below(70_000), linesOf(below, trailers)) : body;
  return Buffer.concat([Buffer.from(head, "latin1"), content]);
}

function responseBytes(planned: Plan): Buffer {
  const { interim, method, originEncodes, response, seed, status } = planned;
  const below = random(seed + 5);
  const body = originBody(planned);
  const { fields, framing, trailers } = response;
  const lines = [
    `X-Seed: ${seed}\r\nContent-Type: text/plain\r\n`,
    originEncodes ? "Content-Encoding: gzip\r\n" : "",
    framing === "chunked" ? "Transfer-Encoding: chunked\r\n" : "",
    framing === "content-length" ? `Content-Length: ${body.length}\r\n` : "",
    linesOf(below, fields),
  ];
  const before = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(interim);
  const head = `${before}HTTP/1.1 ${status} Because\r\n${lines.join("")}\r\n`;
  const bodiless = framing === "none" || method === "HEAD";
  const content =
    framing === "chunked" ? chunked(body, 1 + below(oneOf(below, [300, 70_000])), linesOf(below, trailers)) : body;
  return Buffer.concat([Buffer.from(head, "latin1"), bodiless ? Buffer.alloc(0) : content]);
}

async function sendCut(wire: Wire, bytes: Buffer, below: Below): Promise<void> {
  for (const piece of cut(below, bytes)) {
    if (wire.closed) return;
    wire.send(piece);
    const pause = below(12);
    if (pause === 0) await delay(1);
    else if (pause < 6) await setImmediate();
  }
}

class Client {
  readonly #world: World;
  readonly #proxy: Pick<TestProxy<object>, "connect">;
  readonly #smallBuffers: boolean;

  constructor(world: World, proxy: Pick<TestProxy<object>, "connect">, smallBuffers: boolean) {
    this.#world = world;
    this.#proxy = proxy;
    this.#smallBuffers = smallBuffers;
  }

  /** Makes the exchanges of so many seeds: some at a time, on as few connections as can be. */
  async play(first: number, count: number): Promise<void> {
    const below = random(first);
    let wire: Wire | undefined;
    for (let seed = first; seed < first + count;) {
      const group: Plan[] = [];
      const most = 1 + below(MAX_PIPELINED);
      while (group.length < most && seed < first + count) {
        // Cut by a reset if need be, which can take from the client what it has not read of the others.
        const { isCut, version } = this.#world.planOf(seed);
        if (isCut && version === "1.0" && group.length > 0) break;
        group.push(this.#world.planOf(seed++));
        if (mayEnd(group.at(-1)!)) break;
      }
      wire ??= await this.#connect();
      await this.#exchange(wire, group, below);
      if (!mayEnd(group.at(-1)!)) continue;
      await wire[Symbol.asyncDispose]();
      wire = undefined;
    }
  }

  async #connect(): Promise<Wire> {
    const wire = await this.#proxy.connect();
    if (this.#smallBuffers) setBufferSizes(wire.tcp, { receiveBytes: SMALL_BUFFER });
    return wire;
  }

  async #exchange(wire: Wire, group: readonly Plan[], below: Below): Promise<void> {
    const bytes = Buffer.concat(group.map(requestBytes));
    const sent = sendCut(wire, bytes, random(group[0]!.seed + 6));
    for (const planned of group) {
      const reads = below(3) === 0 ? this.#readsLate(wire, 1 + below(4)) : undefined;
      await this.#answer(wire, planned);
      await reads;
    }
    await sent;
  }

  async #readsLate(wire: Wire, ms: number): Promise<void> {
    wire.pause();
    await delay(ms);
    wire.resume();
  }

  async #answer(wire: Wire, planned: Plan): Promise<void> {
    let interim = 0;
    try {
      for (;;) {
        const answer = await wire.message({ toHead: planned.method === "HEAD" });
        if (answer.status === 103) interim++;
        if (answer.status < 200) continue;
        this.#world.checkResponse(planned, answer, interim);
        return;
      }
    } catch (error) {
      // Cut by FIN in the middle, or, where the end of the connection is the end of the body, by a reset.
      if (!(error instanceof WireEnded) && !/was cut/.test(String(error))) throw error;
      this.#world.checkResponse(planned, undefined, interim, error);
    }
  }
}

/** Whoever listens from now on accepts sockets with small buffers in the system. */
function acceptSmall(): Disposable {
  const shrink = (message: unknown): void => {
    setBufferSizes((message as { server: Server }).server, { sendBytes: SMALL_BUFFER, receiveBytes: SMALL_BUFFER });
  };
  subscribe(LISTENING, shrink);
  return { [Symbol.dispose]: () => unsubscribe(LISTENING, shrink) };
}

describe.each(Object.keys(HOOKS))("%s", (name) => {
  test.each([
    ["large", false],
    ["small", true],
  ])(
    "what comes is what was sent and what the hooks made of it; %s buffers",
    async (_size, smallBuffers) => {
      using _small = smallBuffers ? acceptSmall() : undefined;
      const world = new World(HOOKS[name]!);
      await using origin = await Origin.start(world.playOrigin);
      await using proxy = await startProxy({ origin, ...randomApp(HOOKS[name]!, world.planOfTarget, world.failures) });
      const each = Math.ceil(EXCHANGES / CLIENTS);
      const clients = Array.from({ length: CLIENTS }, (_, index) =>
        new Client(world, proxy, smallBuffers).play(SEED + index * each, each),
      );
      await Promise.all(clients);
      expect(world.failures).toEqual([]);
      expect([...world.seen].filter(([, times]) => times !== 1)).toEqual([]);
      expect(proxy.begun).toBe(each * CLIENTS);
      expect(origin.failures.filter((failure) => !(failure instanceof WireEnded))).toEqual([]);
    },
    20_000 + 300 * EXCHANGES,
  );
});
