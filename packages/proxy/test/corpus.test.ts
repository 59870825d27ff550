import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { bytesOf, readCorpus, type CorpusCase } from "../../core/test/corpus.ts";
import { endToEnd, framingFields, hasField, withoutField, type Fields } from "./support/expected-fields.ts";
import type { Message } from "./support/message.ts";
import { Origin, type OriginConnection } from "./support/origin.ts";
import { get, TestProxy } from "./support/proxy.ts";
import { WireEnded, type Wire } from "./support/wire.ts";

/** One write, or several, each of which is read by itself as far as a network allows. */
const WAYS = ["in one piece", "in small pieces"] as const;
type Way = (typeof WAYS)[number];

async function sendCase(wire: Wire, bytes: string, way: Way): Promise<void> {
  const size = way === "in one piece" ? bytes.length : bytes.length > 2000 ? 4001 : 7;
  for (let at = 0; at < bytes.length && !wire.closed; at += size) {
    wire.send(bytes.slice(at, at + size));
    await nextTurn();
  }
}

interface RequestAccepted {
  accepted: { method: string; target: string; version: string; fields: Fields; body: string; trailers?: Fields };
}
interface RequestRefused {
  refused: { status: number; reason: string };
}
type RequestOutcome = RequestAccepted | RequestRefused;
type RequestCase = CorpusCase &
  (RequestOutcome | { incomplete: true }) & { keepAlive?: boolean; then?: RequestOutcome[] };

/** A request as the origin sees it; `framing` by what its fields say, read apart from the rest. */
interface Seen {
  startLine: string;
  fields: Fields;
  framing: string[];
  body: string;
  trailers: Fields;
}

function seenBy({ startLine, fields, body, trailers }: Message): Seen {
  return { startLine, fields, framing: framingFields(fields), body: body.toString("latin1"), trailers };
}

function expectedAt(origin: Origin, { accepted }: RequestAccepted): Seen {
  const { method, target, version, fields, body, trailers } = accepted;
  const chunked = hasField(fields, "transfer-encoding");
  const sent = endToEnd(fields);
  // HTTP/1.1 demands it, and the client of HTTP/1.0 named nobody else.
  if (!hasField(sent, "host")) sent.unshift(["Host", origin.address]);
  sent.push(["Via", `${version} sluice`]);
  if (chunked) sent.push(["Transfer-Encoding", "chunked"]);
  const framing = chunked ? ["transfer-encoding: chunked"] : framingFields(fields);
  return { startLine: `${method} ${target} HTTP/1.1`, fields: sent, framing, body, trailers: trailers ?? [] };
}

/** What the proxy itself refuses of what the session accepts. */
function refusedByProxy(outcome: RequestOutcome): RequestOutcome {
  if (!("accepted" in outcome) || outcome.accepted.method !== "CONNECT") return outcome;
  return { refused: { status: 405, reason: "CONNECT is not enabled" } };
}

async function recordingOrigin(seen: Seen[]): Promise<Origin> {
  return Origin.start(async (connection) => {
    for (;;) {
      seen.push(seenBy(await connection.message()));
      const body = `answer ${seen.length}`;
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    }
  });
}

// What only a proxy does with a request; a session leaves these fields alone, so the corpus has no cases of them.
const HOP_BY_HOP: [name: string, fields: [string, string][]][] = [
  [
    "a field that Connection names",
    [
      ["A", "1"],
      ["Connection", "x-b , A"],
      ["X-B", "2"],
      ["X-C", "3"],
    ],
  ],
  [
    "fields that Connection names on two lines",
    [
      ["Connection", "a"],
      ["A", "1"],
      ["connection", "B"],
      ["b", "2"],
    ],
  ],
  [
    "the fields of one connection, though it does not name them",
    [
      ["TE", "trailers"],
      ["Keep-Alive", "timeout=5"],
      ["A", "1"],
      ["Proxy-Connection", "keep-alive"],
      ["Upgrade", "h2c"],
    ],
  ],
  [
    "Via of another proxy stays",
    [
      ["Via", "1.0 first"],
      ["A", "1"],
    ],
  ],
];

const requestCases: RequestCase[] = [
  ...readCorpus<RequestCase>("requests.json"),
  ...HOP_BY_HOP.map(([name, own]): RequestCase => {
    const fields: Fields = [["Host", "a.test"], ...own];
    const raw = `GET / HTTP/1.1\r\n${fields.map(([field, value]) => `${field}: ${value}\r\n`).join("")}\r\n`;
    const accepted = { method: "GET", target: "/", version: "1.1", fields, body: "" };
    return { name, rfc: "9110 7.6.1", raw, accepted, keepAlive: true };
  }),
];

describe.each(WAYS)("every request of the corpus, %s, is one at the origin or none", (way) => {
  test.for(requestCases)("$name (RFC $rfc)", async (given) => {
    const seen: Seen[] = [];
    await using origin = await recordingOrigin(seen);
    await using proxy = await TestProxy.start({ origin }, { http1: given.limits ?? {} });
    await using client = await proxy.connect();
    const wanted = "incomplete" in given ? [] : [given, ...(given.then ?? [])].map(refusedByProxy);
    const accepted = wanted.filter((outcome) => "accepted" in outcome);
    const expected = accepted.map((outcome) => expectedAt(origin, outcome));

    let headRefused = false;
    await sendCase(client, bytesOf(given.raw), way);
    for (const [index, outcome] of wanted.entries()) {
      const answer = await client.message();
      const isLast = index === wanted.length - 1;
      if ("accepted" in outcome) {
        expect([answer.status, answer.body.toString()]).toEqual([200, `answer ${index + 1}`]);
        expect(answer.field("connection") === "close").toBe(isLast && given.keepAlive === false);
      } else {
        expect([answer.status, answer.body.length, answer.field("connection")]).toEqual([
          outcome.refused.status,
          0,
          "close",
        ]);
        const { error } = await proxy.whenFinished(index + 1);
        expect(error?.message).toContain(outcome.refused.reason);
        // Where the head was good, the origin may be connected to before the body turns out to be bad.
        headRefused = error?.type === "InvalidHTTPHeader" || error?.type === "HTTPStatus";
      }
    }

    const refused = wanted.some((outcome) => "refused" in outcome);
    if ("incomplete" in given) {
      client.end();
      expect((await client.rest()).toString("latin1")).toBe("");
    } else if (refused || given.keepAlive === false) {
      // By FIN, with nothing behind the answer, and without a reset that could take the answer away.
      expect((await client.rest()).toString("latin1")).toBe("");
      expect([client.ended, client.error]).toEqual([true, undefined]);
    } else {
      client.send("GET /after HTTP/1.1\r\nHost: z\r\n\r\n");
      expect((await client.message()).body.toString()).toBe(`answer ${wanted.length + 1}`);
      expected.push(expectedAt(origin, afterRequest));
    }

    await client[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    for (const connection of origin.connections) await connection.whenEnded();
    // The message reader leaves what is no whole message: there is none, and no byte beyond one.
    expect(seen).toEqual(expected);
    if (accepted.length === wanted.length) for (const each of origin.connections) expect(each.peek()).toBe("");
    if (headRefused && accepted.length === 0) expect(origin.connections.length).toBe(0);
    if ("incomplete" in given) expect(origin.connections.length).toBe(0);
    else expect(proxy.begun).toBe(expected.length + (refused ? 1 : 0));
  });
});

const afterRequest: RequestAccepted = {
  accepted: { method: "GET", target: "/after", version: "1.1", fields: [["Host", "z"]], body: "" },
};

interface ResponseAccepted {
  accepted: {
    status: number;
    reason: string;
    version: string;
    fields: Fields;
    body: string;
    trailers?: Fields;
    informational?: number[];
  };
}
interface ResponseRefused {
  refused: { type: string; reason: string };
}
type ResponseCase = CorpusCase &
  (ResponseAccepted | ResponseRefused) & { method?: string; fin?: boolean; reusable?: boolean };

type ClientVersion = "1.0" | "1.1";

/** A response as the client sees it. */
interface Got {
  startLine: string;
  fields: Fields;
  body: string;
  trailers: Fields;
}

function expectedResponse({ accepted }: ResponseAccepted, version: ClientVersion, method: string): Got {
  const { status, reason, body } = accepted;
  let fields = endToEnd(accepted.fields);
  const bodiless = method === "HEAD" || status === 204 || status === 205 || status === 304;
  if (status === 204 || status === 205) fields = withoutField(fields, "content-length");
  if (status === 205) fields.push(["Content-Length", "0"]);
  if (!hasField(fields, "date")) fields.push(["Date", "now"]);
  const chunked = version === "1.1" && !bodiless && !hasField(fields, "content-length");
  if (chunked) fields.push(["Transfer-Encoding", "chunked"]);
  if (version === "1.0") fields.push(["Connection", "close"]);
  const trailers = chunked ? (accepted.trailers ?? []) : [];
  return { startLine: `HTTP/1.1 ${status} ${reason}`, fields, body: status === 205 ? "" : body, trailers };
}

function got({ startLine, fields, body, trailers }: Message): Got {
  const dated = fields.map(([name, value]) =>
    /^date$/i.test(name) ? ([name, "now"] as const) : [name, value],
  ) as Fields;
  return { startLine, fields: dated, body: body.toString("latin1"), trailers };
}

/** The final response, and the statuses of the interim ones before it; `undefined` if it was cut so that it shows. */
async function readResponse(client: Wire, method: string): Promise<[answer: Message | undefined, interim: Message[]]> {
  const interim: Message[] = [];
  try {
    for (;;) {
      const message = await client.message({ toHead: method === "HEAD" });
      if (message.status >= 200) return [message, interim];
      interim.push(message);
    }
  } catch (error) {
    if (error instanceof WireEnded || /was cut/.test(String(error))) return [undefined, interim];
    throw error;
  }
}

/** Answers the first request with the case, and all others with what can be told from it. */
async function answeringOnce(given: ResponseCase, way: Way, servedBy: OriginConnection[]): Promise<Origin> {
  return Origin.start(async (connection) => {
    for (;;) {
      await connection.message();
      servedBy.push(connection);
      if (servedBy.length > 1) {
        connection.send("HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nafter");
        continue;
      }
      await sendCase(connection, bytesOf(given.raw), way);
      if (given.fin) {
        connection.end();
        return;
      }
    }
  });
}

/** The head was complete and good: it may have gone out before the rest turned out to be bad. */
function mayBeCut(given: ResponseRefused): boolean {
  return given.refused.type !== "InvalidHTTPHeader" && !given.refused.reason.includes("before its response head");
}

const responseCases: ResponseCase[] = [
  ...readCorpus<ResponseCase>("responses.json"),
  ...HOP_BY_HOP.map(([name, own]): ResponseCase => {
    const fields: Fields = [["Content-Length", "2"], ...own];
    const raw = `HTTP/1.1 200 OK\r\n${fields.map(([field, value]) => `${field}: ${value}\r\n`).join("")}\r\nok`;
    const accepted = { status: 200, reason: "OK", version: "1.1", fields, body: "ok" };
    return { name, rfc: "9110 7.6.1", raw, accepted, reusable: true };
  }),
];
const legs = WAYS.flatMap((way) => (["1.1", "1.0"] as const).map((version) => ({ way, version })));

describe.each(legs)("every response of the corpus, $way, is one for a client of HTTP/$version or none", (leg) => {
  test.for(responseCases)("$name (RFC $rfc)", async (given) => {
    const { way, version } = leg;
    const method = given.method ?? "GET";
    const servedBy: OriginConnection[] = [];
    await using origin = await answeringOnce(given, way, servedBy);
    await using proxy = await TestProxy.start({ origin }, { connector: { headLimits: given.limits ?? {} } });
    await using client = await proxy.send(`${method} / HTTP/${version}\r\nHost: test\r\n\r\n`);
    const [answer, interim] = await readResponse(client, method);
    for (const each of interim) expect(framingFields(each.fields)).toEqual([]);

    const persists = "accepted" in given && version === "1.1";
    if ("accepted" in given) {
      expect(answer && got(answer)).toEqual(expectedResponse(given, version, method));
      const informational = version === "1.1" ? (given.accepted.informational ?? []) : [];
      expect(interim.map(({ status }) => status)).toEqual(informational);
    } else {
      expect(answer?.status ?? "cut").toBeOneOf(mayBeCut(given) ? [502, "cut"] : [502]);
      if (answer !== undefined) expect([answer.body.length, answer.field("connection")]).toEqual([0, "close"]);
      const { error } = await proxy.whenFinished();
      expect(error).toMatchObject({ type: given.refused.type, source: "upstream" });
      expect(error!.message).toContain(given.refused.reason);
    }
    if (!persists) {
      const rest = await client.rest();
      if (answer !== undefined) expect([rest.toString("latin1"), client.error]).toEqual(["", undefined]);
    }

    const reusable = "accepted" in given && given.reusable === true;
    // The end of the connection, or a byte too many, may be a packet of its own.
    await expect.poll(() => proxy.pool.idleCount, { interval: 1 }).toBe(reusable ? 1 : 0);
    if (!reusable) await servedBy[0]!.whenEnded();

    // What comes next is not touched by what went before, on the same connection or on another.
    const next = persists ? client.send(get("/after")) : await proxy.send(get("/after"));
    const after = await next.message();
    const untouched = { startLine: "HTTP/1.1 200 OK", body: "after", trailers: [] };
    expect(got(after)).toEqual({
      ...untouched,
      fields: [
        ["Date", "now"],
        ["Content-Length", "5"],
      ],
    });
    expect(servedBy[1] === servedBy[0]).toBe(reusable);
    expect(next.peek()).toBe("");
    expect(servedBy.length).toBe(2);
  });
});
