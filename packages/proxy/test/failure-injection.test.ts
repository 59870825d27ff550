import { configureLogs } from "@sluice/core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { MemoryProxy, type Answer, type Cut, type End, type How } from "./support/memory-proxy.ts";
import { readResponses, type StrictMessage, type StrictResponse } from "./support/strict-messages.ts";

interface Response {
  status: number;
  body: string;
  interim?: number[];
  trailers?: string;
}
interface Request {
  line: string;
  body?: string;
  trailers?: string;
}

/** What happens if nothing goes wrong. */
interface Exchange {
  name: string;
  /** What the client sends; each part after all has happened that the one before it caused. */
  send: string[];
  /** What the origin answers, by target. */
  answers: Record<string, Answer>;
  /** The requests that the origin sees. */
  requests: Request[];
  /** The responses that the client gets. */
  responses: Response[];
  /** What the client gets after a change of protocol. */
  tunnel?: string;
  /** A request goes before, so that the upstream connection comes from the pool. */
  warm?: boolean;
  /** The client takes no bytes until all has happened that can without. */
  slowClient?: boolean;
  /** The body of the response ends where the origin ends the connection: no one can know that more was to come. */
  untilClose?: boolean;
  /** Cuts only at every so many bytes. */
  stride?: number;
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const HELLO = { status: 200, body: "hello" };
const head = (line: string, fields = ""): string => `${line} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const LARGE = "0123456789abcdef".repeat(20_000);

const exchanges: Exchange[] = [
  {
    name: "GET, answered with Content-Length",
    send: [head("GET /")],
    answers: { "/": { bytes: OK } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
  },
  {
    name: "GET, answered in chunks",
    send: [head("GET /")],
    answers: { "/": { bytes: `${CHUNKED}3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n` } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
  },
  {
    name: "GET, answered in chunks with trailers",
    send: [head("GET /")],
    answers: { "/": { bytes: `${CHUNKED}5;x\r\nhello\r\n0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n` } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [{ ...HELLO, trailers: "X-Sum: 1, X-B: 2" }],
  },
  {
    name: "GET, answered until the connection ends",
    send: [head("GET /")],
    answers: { "/": { bytes: "HTTP/1.1 200 OK\r\n\r\nhello", fin: true } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
    untilClose: true,
  },
  {
    name: "GET, answered with Connection: close",
    send: [head("GET /")],
    answers: { "/": { bytes: OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), fin: true } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
  },
  {
    name: "GET, answered with bytes behind the answer",
    send: [head("GET /")],
    answers: { "/": { bytes: OK, surplus: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison" } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
  },
  {
    name: "GET, answered with chunks and bytes behind them",
    send: [head("GET /")],
    answers: { "/": { bytes: `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, surplus: "0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
  },
  {
    name: "HEAD",
    send: [head("HEAD /")],
    answers: { "/": { bytes: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" } },
    requests: [{ line: "HEAD / HTTP/1.1" }],
    responses: [{ status: 200, body: "" }],
  },
  {
    name: "204",
    send: [head("DELETE /")],
    answers: { "/": { bytes: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n" } },
    requests: [{ line: "DELETE / HTTP/1.1" }],
    responses: [{ status: 204, body: "" }],
  },
  {
    name: "304",
    send: [head("GET /", 'If-None-Match: "1"\r\n')],
    answers: { "/": { bytes: 'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 5\r\n\r\n' } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [{ status: 304, body: "" }],
  },
  {
    name: "1xx, then 200",
    send: [head("GET /")],
    answers: { "/": { bytes: `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}` } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [{ ...HELLO, interim: [102, 103] }],
  },
  {
    name: "POST with Content-Length",
    send: [`${head("POST /", "Content-Length: 6\r\n")}abcdef`],
    answers: { "/": { bytes: OK } },
    requests: [{ line: "POST / HTTP/1.1", body: "abcdef" }],
    responses: [HELLO],
  },
  {
    name: "POST in chunks, in two parts",
    send: [`${head("POST /", "Transfer-Encoding: chunked\r\n")}3\r\nabc\r\n`, "3\r\ndef\r\n0\r\nX-Sum: 2\r\n\r\n"],
    answers: { "/": { bytes: OK } },
    requests: [{ line: "POST / HTTP/1.1", body: "abcdef", trailers: "X-Sum: 2" }],
    responses: [HELLO],
  },
  {
    name: "POST that waits for 100",
    send: [head("POST /", "Expect: 100-continue\r\nContent-Length: 6\r\n"), "abcdef"],
    answers: { "/": { interim: "HTTP/1.1 100 Continue\r\n\r\n", bytes: OK } },
    requests: [{ line: "POST / HTTP/1.1", body: "abcdef" }],
    responses: [{ ...HELLO, interim: [100] }],
  },
  {
    name: "POST, answered early with 413 and the connection kept",
    send: [`${head("POST /", "Content-Length: 12\r\n")}abcdef`, "ghijkl"],
    answers: { "/": { bytes: "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig", early: true } },
    requests: [],
    responses: [{ status: 413, body: "big" }],
  },
  {
    name: "POST in chunks, answered early with 413 until the connection ends",
    send: [`${head("POST /", "Transfer-Encoding: chunked\r\n")}3\r\nabc\r\n`, "3\r\ndef\r\n", "0\r\n\r\n"],
    answers: { "/": { bytes: "HTTP/1.1 413 Content Too Large\r\n\r\nbig", early: true, fin: true } },
    requests: [],
    responses: [{ status: 413, body: "big" }],
    untilClose: true,
  },
  {
    name: "HTTP/1.0 client, answered with Content-Length",
    send: ["GET / HTTP/1.0\r\n\r\n"],
    answers: { "/": { bytes: OK } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
  },
  {
    name: "HTTP/1.0 client that keeps its connection",
    send: ["GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /2 HTTP/1.0\r\n\r\n"],
    answers: { "/": { bytes: OK }, "/2": { bytes: OK } },
    requests: [{ line: "GET / HTTP/1.1" }, { line: "GET /2 HTTP/1.1" }],
    responses: [HELLO, HELLO],
  },
  {
    name: "HTTP/1.0 client, answered in chunks",
    send: ["GET / HTTP/1.0\r\n\r\n"],
    answers: { "/": { bytes: `HTTP/1.1 103 Early Hints\r\n\r\n${CHUNKED}3\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n` } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
  },
  {
    name: "HTTP/1.0 client and origin, answered until the connection ends",
    send: ["GET / HTTP/1.0\r\n\r\n"],
    answers: { "/": { bytes: "HTTP/1.0 200 OK\r\n\r\nhello", fin: true } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
    untilClose: true,
  },
  {
    name: "two GET in one go",
    send: [head("GET /") + head("GET /2")],
    answers: { "/": { bytes: OK }, "/2": { bytes: `${CHUNKED}5\r\nworld\r\n0\r\n\r\n` } },
    requests: [{ line: "GET / HTTP/1.1" }, { line: "GET /2 HTTP/1.1" }],
    responses: [HELLO, { status: 200, body: "world" }],
  },
  {
    name: "POST and GET in one go",
    send: [`${head("POST /", "Transfer-Encoding: chunked\r\n")}3\r\nabc\r\n0\r\n\r\n${head("GET /2")}`],
    answers: { "/": { bytes: OK }, "/2": { bytes: OK } },
    requests: [{ line: "POST / HTTP/1.1", body: "abc" }, { line: "GET /2 HTTP/1.1" }],
    responses: [HELLO, HELLO],
  },
  {
    name: "GET on a connection from the pool",
    send: [head("GET /")],
    answers: { "/": { bytes: OK } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [HELLO],
    warm: true,
  },
  {
    name: "PUT in chunks on a connection from the pool",
    send: [`${head("PUT /", "Transfer-Encoding: chunked\r\n")}3\r\nabc\r\n`, "0\r\nA: b\r\n\r\n"],
    answers: { "/": { bytes: `${CHUNKED}5\r\nhello\r\n0\r\n\r\n` } },
    requests: [{ line: "PUT / HTTP/1.1", body: "abc", trailers: "A: b" }],
    responses: [HELLO],
    warm: true,
  },
  {
    name: "POST on a connection from the pool",
    send: [`${head("POST /", "Content-Length: 3\r\n")}abc`],
    answers: { "/": { bytes: OK } },
    requests: [{ line: "POST / HTTP/1.1", body: "abc" }],
    responses: [HELLO],
    warm: true,
  },
  {
    name: "a change of protocol",
    send: [head("GET /", "Connection: upgrade\r\nUpgrade: x\r\n"), "ping!"],
    answers: {
      "/": {
        bytes:
          "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 9\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello",
        pong: "pong!",
      },
    },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [{ status: 101, body: "" }],
    tunnel: "hellopong!",
  },
  {
    name: "a large response to a slow client",
    send: [head("GET /")],
    answers: { "/": { bytes: `HTTP/1.1 200 OK\r\nContent-Length: ${LARGE.length}\r\n\r\n${LARGE}` } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [{ status: 200, body: LARGE }],
    slowClient: true,
    stride: 20_011,
  },
  {
    name: "a large response until the connection ends, to a slow client",
    send: [head("GET /")],
    answers: { "/": { bytes: `HTTP/1.1 200 OK\r\n\r\n${LARGE}`, fin: true } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [{ status: 200, body: LARGE }],
    slowClient: true,
    untilClose: true,
    stride: 20_011,
  },
  {
    name: "a large response to a slow client of HTTP/1.0",
    send: ["GET / HTTP/1.0\r\n\r\n"],
    answers: { "/": { bytes: `${CHUNKED}${LARGE.length.toString(16)}\r\n${LARGE}\r\n0\r\n\r\n` } },
    requests: [{ line: "GET / HTTP/1.1" }],
    responses: [{ status: 200, body: LARGE }],
    slowClient: true,
    stride: 20_011,
  },
  {
    name: "a large request",
    send: [`${head("PUT /", `Content-Length: ${LARGE.length}\r\n`)}${LARGE}`],
    answers: { "/": { bytes: OK } },
    requests: [{ line: "PUT / HTTP/1.1", body: LARGE }],
    responses: [HELLO],
    stride: 20_011,
  },
];

const PROBE = head("GET /probe");
const PROBE_ANSWER: Answer = { bytes: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nprobe" };

/** Who is cut, and where. */
type Fault =
  | { side: "none" }
  | ({ side: "upstream" } & Cut)
  | ({ side: "request" } & Cut)
  | { side: "response"; after: number; how: How };

interface Way {
  /** The hooks take their time. */
  slowHooks: boolean;
  /** The upstream's bytes come one by one, so that everything is in the middle of its way when a cut comes. */
  byteByByte: boolean;
}

/** One exchange with one fault. Returns what must not be, and how much there was to cut. */
async function run(
  exchange: Exchange,
  fault: Fault,
  way: Way,
): Promise<{ violations: string[]; receivedBytes: number }> {
  const answers = new Map([...Object.entries(exchange.answers), ["/probe", PROBE_ANSWER] as const]);
  const warmBytes = exchange.warm ? PROBE_ANSWER.bytes.length : 0;
  const proxy = new MemoryProxy({
    answers,
    slowHooks: way.slowHooks,
    upstream: way.byteByByte ? { toLocal: { pieceBytes: 1 } } : {},
    upstreamCut: fault.side === "upstream" ? { ...fault, after: fault.after + warmBytes } : undefined,
  });
  const { violations } = proxy;
  if (exchange.warm) await probe(proxy, violations);

  const toRemote = fault.side === "response" ? { cuts: [fault.after] } : {};
  const client = proxy.connect({ toRemote }, fault.side === "request" ? fault : undefined);
  if (fault.side === "response") client.cutWhenReceived(fault.after, fault.how);
  if (exchange.slowClient) client.pair.remote.pause();
  for (const part of exchange.send) {
    client.send(part);
    await proxy.settle();
    for (const end of [client, ...proxy.origins]) if (end.cutDue !== undefined) end.cut(end.cutDue);
    await proxy.settle();
    if (exchange.slowClient) client.pair.remote.resume();
    await proxy.settle();
  }
  // A late cut may have been reached by what a slow client let pass.
  for (const end of [client, ...proxy.origins]) if (end.cutDue !== undefined) end.cut(end.cutDue);
  await proxy.settle();

  judgeClient(exchange, fault, client, violations);
  judgeOrigins(exchange, fault, proxy, violations);
  judgeLogging(exchange, fault, client, proxy, violations);
  const receivedBytes = client.text.length;
  await probe(proxy, violations);
  await leave(proxy, client, violations);
  return { violations, receivedBytes };
}

/** Another client's request: it gets its own answer, whatever happened before. */
async function probe(proxy: MemoryProxy, violations: string[]): Promise<void> {
  const client = proxy.connect();
  client.send(PROBE);
  await proxy.settle();
  const { complete, unfinished } = readResponses(client.text, ["GET"], client.ending);
  if (complete[0]?.body !== "probe" || unfinished !== "")
    violations.push(`another exchange got ${JSON.stringify(client.text)}`);
  if (client.listenersGrew) violations.push(`listeners grew: ${client.listeners()}`);
  client.pair.remote.destroy();
  await proxy.settle();
}

/** Everybody leaves: nothing stays behind. */
async function leave(proxy: MemoryProxy, client: End, violations: string[]): Promise<void> {
  if (client.listenersGrew) violations.push(`listeners grew: ${client.listeners()}`);
  client.pair.remote.destroy();
  await proxy.settle();
  if (proxy.connections !== 0) violations.push(`${proxy.connections} client connections are still open`);
  if (proxy.pending !== 0) violations.push(`${proxy.pending} requests are still being handled`);
  const { idleCount } = proxy.connector.pool;
  if (proxy.openUpstreams !== idleCount)
    violations.push(`${proxy.openUpstreams} upstream connections are open, ${idleCount} of them in the pool`);
  for (const { logged } of proxy.contexts)
    if (logged !== 1) violations.push(`logging ran ${logged} times for a request`);
  proxy.connector.close();
  await proxy.settle();
  if (proxy.openUpstreams !== 0) violations.push("an upstream connection is open though the pool was closed");
  const timers = vi.getTimerCount();
  if (timers !== 0) violations.push(`${timers} timers are still there`);
  vi.clearAllTimers();
}

const methodsOf = (exchange: Exchange): string[] =>
  [...exchange.send.join("").matchAll(/([A-Z]+) \S+ HTTP\/1\.[01]\r\n/g)].map((match) => match[1]!);

function judgeClient(exchange: Exchange, fault: Fault, client: End, violations: string[]): void {
  const { ending } = client;
  let read;
  try {
    read = readResponses(client.text, methodsOf(exchange), ending);
  } catch (error) {
    violations.push(`the client got what is no HTTP: ${String(error)}`);
    return;
  }
  const { complete, unfinished, tunnel } = read;
  const wanted = exchange.responses;
  for (const [index, response] of complete.entries()) {
    const isLast = index === complete.length - 1;
    if (isExpected(response, wanted[index]) || (isLast && isOwnError(response))) continue;
    // The end of the connection was the end of the body as far as anybody could see.
    const cutByFin = fault.side === "upstream" && fault.how === "fin" && exchange.untilClose === true;
    if (cutByFin && isLast && wanted[index]!.body.startsWith(response.body)) continue;
    violations.push(`the client takes for complete: ${JSON.stringify(response).slice(0, 300)}`);
  }
  // Our client leaves by itself where it cut; everywhere else the proxy must have told it.
  const left = client.pair.remote.destroyed && fault.side !== "upstream";
  if (unfinished !== "" && ending === "open" && !left) violations.push("the client waits for the rest of a response");
  const done = complete.length === wanted.length && unfinished === "";
  if (!done && unfinished === "" && ending === "open" && fault.side === "upstream")
    violations.push(`the client waits for response ${complete.length + 1}`);
  if (fault.side === "none" && !done) violations.push(`only ${complete.length} responses without a fault`);
  if (tunnel !== undefined) judgeTunnel(exchange, fault, tunnel, ending, violations);
}

function judgeTunnel(exchange: Exchange, fault: Fault, tunnel: string, ending: string, violations: string[]): void {
  const wanted = exchange.tunnel ?? "";
  if (!wanted.startsWith(tunnel)) violations.push(`through the tunnel came ${JSON.stringify(tunnel)}`);
  if (fault.side === "none" && tunnel !== wanted)
    violations.push(`through the tunnel came only ${JSON.stringify(tunnel)}`);
  if (fault.side === "upstream" && fault.how === "reset" && tunnel !== wanted && ending !== "reset")
    violations.push(`the tunnel's origin reset it, and its client sees: ${ending}`);
  if (fault.side === "upstream" && ending === "open") violations.push("the client's end of the tunnel is still open");
}

function isExpected(response: StrictResponse, wanted: Response | undefined): boolean {
  return (
    wanted !== undefined &&
    response.status === wanted.status &&
    response.body === wanted.body &&
    // What is no part of HTTP/1.0 does not reach its clients.
    isOneOf(response.interim.join(), wanted.interim?.join()) &&
    isOneOf(trailersOf(response), wanted.trailers)
  );
}

function isOneOf(got: string, wanted: string | undefined): boolean {
  return got === (wanted ?? "");
}

function trailersOf({ trailers }: StrictMessage): string {
  return trailers.map(([name, value]) => `${name}: ${value}`).join(", ");
}

/** Made by the proxy: it says that the request failed, and the connection ends. */
function isOwnError({ status, body, fields }: StrictResponse): boolean {
  const closes = fields.some(([name, value]) => name === "Connection" && value === "close");
  return [400, 502].includes(status) && body === "" && closes;
}

function judgeOrigins(exchange: Exchange, fault: Fault, proxy: MemoryProxy, violations: string[]): void {
  const seen: string[] = [];
  const clientReset = (fault.side === "request" || fault.side === "response") && fault.how === "reset";
  for (const origin of proxy.origins) {
    let read;
    try {
      read = origin.requests;
    } catch (error) {
      violations.push(`the origin got what is no HTTP: ${String(error)}`);
      continue;
    }
    for (const request of read.complete) {
      if (request.startLine === "GET /probe HTTP/1.1") continue;
      seen.push(request.startLine);
      const isWanted = ({ line, body = "", trailers = "" }: Request): boolean =>
        line === request.startLine && body === request.body && trailers === trailersOf(request);
      if (!exchange.requests.some(isWanted))
        violations.push(`the origin takes for complete: ${JSON.stringify(request).slice(0, 300)}`);
    }
    const { local } = origin.pair;
    if (read.unfinished !== "" && !local.destroyed && !local.writableEnded)
      violations.push("an upstream connection is open with half a request");
    const whole = exchange.tunnel === undefined || origin.tunnelText === "ping!" || !origin.changedProtocol;
    if (clientReset && !whole && origin.ending === "fin")
      violations.push("the tunnel's client reset it, and its origin sees: fin");
    if (!"ping!".startsWith(origin.tunnelText)) violations.push(`the tunnel's origin got ${origin.tunnelText}`);
    if (local.listenerCount("data") > 2) violations.push("listeners grew on an upstream connection");
  }
  for (const line of new Set(seen)) {
    const times = seen.filter((each) => each === line).length;
    if (times > 1 && line.startsWith("POST")) violations.push(`${line} was sent ${times} times`);
  }
}

/** That `logging` ran once for each is looked at when all is over; here, that each request was one at all. */
function judgeLogging(exchange: Exchange, fault: Fault, client: End, proxy: MemoryProxy, violations: string[]): void {
  const begun = proxy.contexts.length - (exchange.warm ? 1 : 0);
  const most = methodsOf(exchange).length;
  const sent = exchange.send.join("").slice(0, client.sentBytes);
  const least = fault.side === "none" ? most : sent.includes("\r\n\r\n") ? 1 : 0;
  if (begun < least || begun > most) violations.push(`${begun} requests began, of ${least} to ${most}`);
}

/** All the places at which `total` bytes can be cut. */
function places(exchange: Exchange, total: number, from: number): number[] {
  const { stride } = exchange;
  const all: number[] = [];
  for (let at = from; at <= total; at++) {
    const nearAnEnd = at < 3 || total - at < 3;
    if (stride === undefined || nearAnEnd || at % stride === 0) all.push(at);
  }
  return all;
}

async function expectNoViolation(exchange: Exchange, faults: Fault[], way: Way): Promise<void> {
  const found: string[] = [];
  for (const fault of faults) {
    const { violations } = await run(exchange, fault, way);
    for (const violation of violations) found.push(`${JSON.stringify(fault)}: ${violation}`);
    if (found.length > 9) break;
  }
  expect(found).toEqual([]);
  expect(unhandled).toEqual([]);
}

const unhandled: unknown[] = [];
const onUnhandled = (error: unknown): void => void unhandled.push(error);

beforeAll(() => {
  configureLogs({ levels: "silent" });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  process.on("unhandledRejection", onUnhandled);
  process.on("uncaughtException", onUnhandled);
});

afterAll(() => {
  process.off("unhandledRejection", onUnhandled);
  process.off("uncaughtException", onUnhandled);
  vi.useRealTimers();
});

test("a connection that cannot be reset, as a Unix socket, is closed all the same", async () => {
  const bytes = `${CHUNKED}3\r\nhel\r\n`;
  const proxy = new MemoryProxy({ answers: new Map([["/", { bytes, fin: true }]]), slowHooks: false });
  const client = proxy.connect();
  client.pair.local.resetAndDestroy = () => {
    throw new TypeError("This handle type cannot be sent");
  };
  client.send("GET / HTTP/1.0\r\n\r\n");
  await proxy.settle();
  expect([client.text.endsWith("\r\n\r\nhel"), client.ending]).toEqual([true, "fin"]);
  await leave(proxy, client, proxy.violations);
  expect(proxy.violations).toEqual([]);
});

const answerBytes = ({ answers }: Exchange): number =>
  Object.values(answers)
    .map(({ bytes, interim = "", surplus = "", pong = "" }) => `${interim}${bytes}${surplus}${pong}`.length)
    .reduce((sum, length) => sum + length, 0);

const ways: [name: string, way: Way][] = [
  ["whole", { slowHooks: false, byteByByte: false }],
  ["byte by byte", { slowHooks: false, byteByByte: true }],
  ["with slow hooks", { slowHooks: true, byteByByte: false }],
];

describe.each(ways)("nothing that is cut looks whole, is used again or stays behind (%s)", (_name, way) => {
  describe.each(exchanges.filter(({ stride }) => stride === undefined || !way.byteByByte))("$name", (exchange) => {
    test("without a fault", async () => {
      await expectNoViolation(exchange, [{ side: "none" }], way);
    });

    test.each(["fin", "reset"] as const)("the upstream is cut by %s after every byte of its answer", async (how) => {
      // With the byte before, the reset would hit the request that goes before.
      const all = places(exchange, answerBytes(exchange), exchange.warm && how === "reset" ? 1 : 0);
      const faults = [false, true].flatMap((late) =>
        all.map((after) => ({ side: "upstream" as const, after, how, late })),
      );
      await expectNoViolation(exchange, faults, way);
    });

    test.each(["fin", "reset"] as const)("the client is cut by %s after every byte of its request", async (how) => {
      const all = places(exchange, exchange.send.join("").length, 0);
      const faults = [false, true].flatMap((late) =>
        all.map((after) => ({ side: "request" as const, after, how, late })),
      );
      await expectNoViolation(exchange, faults, way);
    });

    test.each(["fin", "reset"] as const)("the client is cut by %s after every byte that it got", async (how) => {
      const { receivedBytes } = await run(exchange, { side: "none" }, way);
      const all = places(exchange, receivedBytes, 1);
      const faults = all.map((after) => ({ side: "response" as const, after, how }));
      await expectNoViolation(exchange, faults, way);
    });
  });
});
