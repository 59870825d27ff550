import { configureLogs, HttpPeer } from "@sluice/core";
import type { ProxyHttp } from "@sluice/proxy";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { MemoryProxy, type Ctx, type End, type OriginEnd } from "./support/memory-proxy.ts";
import { readRequests, readResponses } from "./support/strict-messages.ts";

/** What may happen on either side of an exchange, one at a time, each after all has happened that the one before caused. */
const EVENTS = {
  q: "request chunk",
  Q: "request end",
  i: "interim response head",
  h: "response head",
  d: "response chunk",
  e: "response end",
  t: "response end with trailers",
  U: "upstream reset",
  D: "downstream reset",
  T: "timeout",
  s: "slow hooks go on",
} as const;
type Event = keyof typeof EVENTS;

const CHUNK_UP = "5\r\nhello\r\n";
const END_UP = "0\r\nX-Up: 1\r\n\r\n";
const INTERIM = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
const HEAD_DOWN = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNK_DOWN = "3\r\nabc\r\n";
const END_DOWN = "0\r\n\r\n";
const TRAILERS_DOWN = "0\r\nX-Down: 1\r\n\r\n";

/** Both sides wait for so long; a `timeout` is a little more. */
const WAIT_MS = 1000;
const PEER = new HttpPeer("10.0.0.1:80", { readMs: WAIT_MS, writeMs: WAIT_MS });
const SERVER = { bodyMs: WAIT_MS, writeMs: WAIT_MS };

interface Scenario {
  readonly name: string;
  readonly request: string;
  readonly hasBody: boolean;
  readonly events: readonly Event[];
  readonly length: number;
  /** Hooks wait for `s` once they were called, each for one. */
  readonly slow: boolean;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: "POST with a chunked body",
    request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    hasBody: true,
    events: ["q", "Q", "h", "d", "e", "t", "U", "D", "T"],
    length: 6,
    slow: false,
  },
  {
    name: "GET",
    request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    hasBody: false,
    events: ["i", "h", "d", "e", "t", "U", "D", "T"],
    length: 6,
    slow: false,
  },
  {
    name: "POST with hooks that take their time",
    request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    hasBody: true,
    events: ["q", "Q", "h", "d", "e", "U", "D", "s"],
    length: 5,
    slow: true,
  },
];

/** What the two peers have done; which events can come next follows from that alone, not from what the proxy made of it. */
class Peers {
  requestEnded: boolean;
  head = false;
  responseEnded = false;
  upstreamReset = false;
  downstreamReset = false;

  constructor(hasBody: boolean) {
    this.requestEnded = !hasBody;
  }

  can(event: Event): boolean {
    switch (event) {
      case "q":
      case "Q":
        return !this.requestEnded && !this.downstreamReset;
      case "i":
      case "h":
        return !this.head && !this.upstreamReset;
      case "d":
      case "e":
      case "t":
        return this.head && !this.responseEnded && !this.upstreamReset;
      case "U":
        return !this.upstreamReset;
      case "D":
        return !this.downstreamReset;
      case "T":
      case "s":
        return true;
    }
  }

  do(event: Event): void {
    if (event === "Q") this.requestEnded = true;
    else if (event === "h") this.head = true;
    else if (event === "e" || event === "t") this.responseEnded = true;
    else if (event === "U") this.upstreamReset = true;
    else if (event === "D") this.downstreamReset = true;
  }
}

/** How an exchange may be over. */
type Outcome = "complete" | "client left" | "cut" | "502" | "504" | "408";

/**
 * What an exchange must have come to: the model that the proxy is held against. It knows of events in a row only, and of no
 * way to get from one to the next.
 */
class Model {
  outcome: Outcome | undefined = undefined;
  /** In the order of their coming, what the client must have got of a response that is under way or complete. */
  interim = 0;
  body = "";
  trailers = false;
  hasHead = false;
  upEnded: boolean;

  constructor(hasBody: boolean) {
    this.upEnded = !hasBody;
  }

  happen(event: Event): void {
    if (this.outcome !== undefined) return;
    switch (event) {
      case "Q":
        this.upEnded = true;
        break;
      case "i":
        this.interim++;
        break;
      case "h":
        this.hasHead = true;
        break;
      case "d":
        this.body += "abc";
        break;
      case "e":
      case "t":
        this.trailers = event === "t";
        this.outcome = "complete";
        break;
      case "U":
        // RFC 9110, section 9.2.2: neither a POST nor a request on a fresh connection is sent again.
        this.outcome = this.hasHead ? "cut" : "502";
        break;
      case "D":
        this.outcome = "client left";
        break;
      case "T":
        if (this.hasHead) this.outcome = "cut";
        // While the request is on its way, it is the client that is waited for.
        else this.outcome = this.upEnded ? "504" : "408";
        break;
      case "q":
      case "s":
    }
  }

  /**
   * With hooks that take their time, what came may wait behind what came before it, so that an end of either peer may overtake
   * it. Then `so` is what it came to, if the peers' doing allows it.
   */
  follow(so: Outcome | undefined, peers: Peers): boolean {
    this.outcome = so;
    this.upEnded = peers.requestEnded;
    switch (so) {
      case undefined:
        return !peers.responseEnded && !peers.upstreamReset && !peers.downstreamReset;
      case "complete":
        return peers.responseEnded;
      case "client left":
        return peers.downstreamReset;
      default:
        return peers.upstreamReset;
    }
  }
}

/** One exchange in memory, driven event by event. */
class Play {
  readonly scenario: Scenario;
  readonly peers: Peers;
  readonly model: Model;
  readonly hooks: string[] = [];
  readonly proxy: MemoryProxy;
  client!: End;
  /** The request's body, as far as the client sent it. */
  sent = "";
  /** What `logging` was told. */
  failure: string | undefined = undefined;
  #waiting: (() => void)[] = [];

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.peers = new Peers(scenario.hasBody);
    this.model = new Model(scenario.hasBody);
    this.proxy = new MemoryProxy({
      answers: new Map([["/", { bytes: "" }]]),
      slowHooks: false,
      app: this.#app(),
      server: SERVER,
      peer: PEER,
    });
  }

  get origin(): OriginEnd {
    return this.proxy.origins[0]!;
  }

  async start(): Promise<void> {
    this.client = this.proxy.connect();
    this.client.send(this.scenario.request);
    await this.proxy.settle();
    // The hooks before the exchange are no part of it.
    while (this.proxy.origins.length === 0 || (this.scenario.slow && this.origin.text === "")) await this.#goOn();
  }

  async happen(event: Event): Promise<void> {
    this.peers.do(event);
    this.model.happen(event);
    switch (event) {
      case "q":
        this.sent += "hello";
        this.client.send(CHUNK_UP);
        break;
      case "Q":
        this.client.send(END_UP);
        break;
      case "i":
        this.#answer(INTERIM);
        break;
      case "h":
        this.#answer(HEAD_DOWN);
        break;
      case "d":
        this.#answer(CHUNK_DOWN);
        break;
      case "e":
        this.#answer(END_DOWN);
        break;
      case "t":
        this.#answer(TRAILERS_DOWN);
        break;
      case "U":
        this.origin.cut("reset");
        break;
      case "D":
        this.client.cut("reset");
        break;
      case "T":
        await vi.advanceTimersByTimeAsync(WAIT_MS + 1);
        break;
      case "s":
        await this.#goOn();
    }
    await this.proxy.settle();
  }

  /** What it came to, as it looks from outside. */
  get outcome(): Outcome | undefined {
    if (this.proxy.contexts[0]!.logged === 0) return undefined;
    if (this.failure === undefined) return "complete";
    if (this.failure.startsWith("downstream")) return "client left";
    return this.client.text.includes("HTTP/1.1 200") ? "cut" : "502";
  }

  /** All hooks that wait are let go on, and those that follow, until none waits. */
  async letGo(): Promise<void> {
    while (this.#waiting.length > 0) await this.#goOn();
  }

  async #goOn(): Promise<void> {
    for (const go of this.#waiting.splice(0)) go();
    await this.proxy.settle();
  }

  #answer(bytes: string): void {
    this.origin.answeredBytes += bytes.length;
    this.origin.send(bytes);
  }

  #app(): Partial<ProxyHttp<Ctx>> {
    const note = (hook: string): void => void this.hooks.push(hook);
    const slowly = (hook: string): Promise<void> | void => {
      note(hook);
      if (this.scenario.slow) return new Promise<void>((resolve) => this.#waiting.push(resolve));
    };
    return {
      earlyRequestFilter: () => slowly("early"),
      requestFilter: () => slowly("request"),
      connectedToUpstream: () => slowly("connected"),
      upstreamRequestFilter: () => slowly("upstreamRequest"),
      requestBodyFilter: (_session, piece, end) => slowly(end ? "upEnd" : `up:${String(piece)}`),
      upstreamResponseFilter: (_session, { status }) => slowly(`upstreamResponse:${status}`),
      responseFilter: (_session, { status }) => slowly(`response:${status}`),
      upstreamResponseBodyFilter: (_session, piece, end) =>
        note(end ? "upstreamDownEnd" : `upstreamDown:${String(piece)}`),
      responseBodyFilter: (_session, piece, end) => note(end ? "downEnd" : `down:${String(piece)}`),
      errorWhileProxy: (_peer, _session, error) => {
        note("errorWhileProxy");
        return error;
      },
      logging: (_session, error) => {
        note("logging");
        this.failure = error === undefined ? undefined : `${error.source} ${error.type}`;
      },
    };
  }
}

/** What is wrong with an exchange that has come so far; all hooks must have returned. */
function faults(play: Play): string[] {
  const { model, client, origin, proxy, hooks, scenario } = play;
  const found = [...proxy.violations];
  const check = (holds: boolean, what: string): void => {
    if (!holds) found.push(what);
  };

  const over = model.outcome !== undefined;
  check(proxy.contexts.length === 1, `${proxy.contexts.length} contexts`);
  check(proxy.contexts[0]!.logged === (over ? 1 : 0), `logging was called ${proxy.contexts[0]!.logged} times`);
  check(proxy.pending === (over ? 0 : 1), over ? "the request is still handled" : "the request is over");
  check(proxy.origins.length === 1, `${proxy.origins.length} upstream connections: it was sent again`);
  if (over) check((play.failure === undefined) === (model.outcome === "complete"), `logging was told ${play.failure}`);

  // What the origin saw is a request that goes on, one that is whole, or one that is visibly cut; and never a byte too many.
  const { complete: requests, unfinished: request } = readRequests(origin.text);
  check(requests.length + (request === "" ? 0 : 1) <= 1, "more than one request reached the origin");
  const mayBeWhole = model.upEnded;
  check(requests.length === 0 || mayBeWhole, "a request that was not ended looks whole");
  const sent = play.sent;
  if (requests.length === 1) check(requests[0]!.body === sent, `the origin got the body ${requests[0]!.body}`);
  if (!over) check((requests.length === 1) === mayBeWhole, "the end of the request did not reach the origin");

  if (model.outcome !== "client left") checkResponse(play, check);
  checkHooks(hooks, model, check);

  const clean = model.outcome === "complete" && model.upEnded;
  check(proxy.connector.pool.idleCount <= (clean ? 1 : 0), "an upstream connection is kept that cannot be used");
  if (over && !clean) check(proxy.openUpstreams === 0, "an upstream connection is left open");
  if (scenario.hasBody && over && !model.upEnded) check(!isOpen(client), "a client that owes us a body was kept");
  return found;
}

function isOpen(end: End): boolean {
  return !end.closed && !end.ended;
}

function checkResponse({ client, model, scenario }: Play, check: (holds: boolean, what: string) => void): void {
  const method = scenario.request.split(" ")[0]!;
  const { complete, unfinished } = readResponses(client.text, [method], client.ending);
  const shown = JSON.stringify(client.text.slice(0, 200));
  switch (model.outcome) {
    case undefined:
      check(complete.length === 0, `a response that goes on looks whole: ${shown}`);
      check(!model.hasHead || unfinished.includes("HTTP/1.1 200 OK"), `the head did not reach the client: ${shown}`);
      check(count(unfinished, "abc") === model.body.length / 3, `not all chunks reached the client: ${shown}`);
      break;
    case "complete":
      check(complete.length === 1 && unfinished === "", `no whole response: ${shown}`);
      check(complete[0]?.body === model.body, `a body that is another: ${shown}`);
      check((complete[0]?.trailers.length === 1) === model.trailers, `trailers: ${shown}`);
      check(complete[0]?.interim.length === model.interim, `interim heads: ${shown}`);
      break;
    case "cut":
      check(complete.length === 0, `a response that was cut looks whole: ${shown}`);
      check(!isOpen(client), "a client that got half a response is still connected");
      break;
    default:
      check(String(complete[0]?.status) === model.outcome, `answered ${complete[0]?.status}: ${shown}`);
      check(unfinished === "", `something follows the answer: ${shown}`);
      check(!isOpen(client), "the connection goes on after an error");
  }
}

function checkHooks(hooks: readonly string[], model: Model, check: (holds: boolean, what: string) => void): void {
  const shown = hooks.join(" ");
  const upward = hooks.filter((hook) => hook.startsWith("up:") || hook === "upEnd").join(" ");
  const downward = hooks.filter((hook) => /^(?:upstreamResponse|response|upstreamDown|down)/.test(hook)).join(" ");
  check(shown.startsWith("early request connected upstreamRequest"), `the hooks before the exchange: ${shown}`);
  check(/^(?:up:hello ?)*(?:upEnd)?$/.test(upward), `requestBodyFilter: ${upward}`);
  const head =
    /^(?:upstreamResponse:103 response:103 ?)*(?:upstreamResponse:200(?: response:200)?(?: upstreamDown:abc down:abc)*(?: upstreamDownEnd downEnd)?)?$/;
  check(head.test(downward), `the response's hooks: ${downward}`);
  if (model.outcome === undefined) return;
  check(hooks.at(-1) === "logging" && count(shown, "logging") === 1, `logging is not the last: ${shown}`);
  if (model.outcome === "complete") {
    check(downward.endsWith("upstreamDownEnd downEnd"), `no end of the response's body: ${shown}`);
    check(!shown.includes("errorWhileProxy"), `errorWhileProxy without an error: ${shown}`);
  } else {
    check(count(shown, "errorWhileProxy") === 1, `errorWhileProxy was called ${count(shown, "errorWhileProxy")} times`);
  }
}

function count(text: string, part: string): number {
  return text.split(part).length - 1;
}

/** Every order of the events of a scenario, as long as it asks for, or as there are events. */
function* orders(scenario: Scenario): Generator<Event[]> {
  const so: Event[] = [];
  function* deeper(): Generator<Event[]> {
    const peers = new Peers(scenario.hasBody);
    for (const event of so) peers.do(event);
    const next = so.length === scenario.length ? [] : scenario.events.filter((event) => peers.can(event));
    if (next.length === 0) yield so.slice();
    for (const event of next) {
      so.push(event);
      yield* deeper();
      so.pop();
    }
  }
  yield* deeper();
}

beforeAll(() => {
  configureLogs({ levels: "info", destination: { write: () => undefined } });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterAll(() => {
  vi.useRealTimers();
  configureLogs();
});

describe.for(SCENARIOS)("$name", (scenario) => {
  const byFirst = Map.groupBy(orders(scenario), ([first]) => first!);

  test.for([...byFirst])("every order that begins with %s", async ([, sequences]) => {
    for (const sequence of sequences) {
      const play = new Play(scenario);
      await play.start();
      const told = (step: number): string =>
        sequence
          .slice(0, step + 1)
          .map((event) => EVENTS[event])
          .join(", ");
      for (const [step, event] of sequence.entries()) {
        await play.happen(event);
        if (!scenario.slow) expect(faults(play), told(step)).toEqual([]);
      }
      await play.letGo();
      if (scenario.slow) {
        const { outcome } = play;
        expect(play.model.follow(outcome, play.peers), `${outcome} after ${told(sequence.length)}`).toBe(true);
      }
      expect(faults(play), told(sequence.length)).toEqual([]);

      play.client.pair.remote.destroy();
      await play.proxy.settle();
      await play.letGo();
      play.proxy.connector.close();
      await play.proxy.settle();
      const left = [play.proxy.connections, play.proxy.openUpstreams, play.proxy.pending, vi.getTimerCount()];
      expect(left, `left open after ${told(sequence.length)}`).toEqual([0, 0, 0, 0]);
      expect(play.proxy.contexts[0]!.logged, told(sequence.length)).toBe(1);
    }
  });
});
