import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { ProxyError } from "@sluice/error";
import { HeaderFields, type RequestHeader, type ResponseHeader } from "@sluice/http";
import { BodyReader } from "../../src/http1/body-reader.ts";
import { Framing } from "../../src/http1/framing.ts";
import { DEFAULT_HEAD_LIMITS, type HeadLimits } from "../../src/http1/head-limits.ts";
import { HpackDecoder } from "../../src/http2/hpack/decoder.ts";
import { HpackEncoder } from "../../src/http2/hpack/encoder.ts";
import { HpackError } from "../../src/http2/hpack/hpack-error.ts";
import { removeHopByHop } from "../../src/http1/hop-by-hop.ts";
import { lastHeadEnd, parseRequestHead, parseResponseHead } from "../../src/http1/parse-head.ts";
import { checkRequest, normaliseTarget } from "../../src/http1/request-rules.ts";
import { informationalHeadText, lastChunkText, requestHeadText } from "../../src/http1/serialize.ts";
import { call, pairs, respond, serve, wholeBody, type Pairs, type SeenRequest } from "../harness.ts";

/** Reads `text`, whole and cut at `cuts`, and throws an assertion error if a property does not hold. */
export interface Target {
  readonly name: string;
  /** Which cases of the corpus it begins with. */
  readonly corpus: "requests" | "responses" | "header-blocks";
  /** What of a case it reads. */
  readonly part: "all" | "body";
  /**
   * Returns what was made of it, in words that do not depend on its bytes: another kind of feedback, beside coverage.
   */
  check(text: string, cuts: readonly number[]): string | Promise<string>;
}

/** Small, so that short inputs reach them. */
const SMALL: HeadLimits = { maxHeadBytes: 200, maxFields: 6 };

type HeadParser<H> = (buffer: Buffer, from: number, end: number, limits: HeadLimits) => H | undefined;

/** What became of a head. */
type HeadOutcome<H> = { head: H; end: number } | { refused: string } | "incomplete";

const requestHead: Target = {
  name: "request-head",
  corpus: "requests",
  part: "all",
  check: (text, cuts) => {
    const outcomes = [DEFAULT_HEAD_LIMITS, SMALL].map((limits) => {
      const outcome = cutAnywhere(parseRequestHead, text, cuts, limits, requestParts);
      if (outcome === "incomplete") return outcome;
      if ("refused" in outcome) return outcome.refused;
      const { head } = outcome;
      const framing = new Framing();
      const rules = onlyProxyError(() => {
        framing.read(head);
        checkRequest(head, framing);
        normaliseTarget(head);
      });
      if (rules !== undefined) return rules;
      removeHopByHop(head);
      serialisedAgain(parseRequestHead, requestHeadText(head, "none"), requestParts(head), requestParts);
      return `accepted${framing.chunked ? " chunked" : ""}${framing.contentLength > 0 ? " length" : ""}`;
    });
    return outcomes.join(" / ");
  },
};

const responseHead: Target = {
  name: "response-head",
  corpus: "responses",
  part: "all",
  check: (text, cuts) => {
    const outcomes = [DEFAULT_HEAD_LIMITS, SMALL].map((limits) => {
      const outcome = cutAnywhere(parseResponseHead, text, cuts, limits, responseParts);
      if (outcome === "incomplete") return outcome;
      if ("refused" in outcome) return outcome.refused;
      const { head } = outcome;
      const framing = new Framing();
      const rules = onlyProxyError(() => framing.read(head));
      if (rules !== undefined) return rules;
      removeHopByHop(head);
      serialisedAgain(parseResponseHead, informationalHeadText(head), responseParts(head), responseParts);
      return `accepted${framing.chunked ? " chunked" : ""}${framing.contentLength > 0 ? " length" : ""}`;
    });
    return outcomes.join(" / ");
  },
};

const chunkedBody: Target = {
  name: "chunked-body",
  corpus: "requests",
  part: "body",
  check: (text, cuts) => {
    const outcomes = [true, false].map((lenient) => {
      const whole = readChunked(text, [], lenient);
      deepStrictEqual(readChunked(text, cuts, lenient), whole, "cut, a body reads like the whole");
      ok(whole.data.length <= whole.used, "a body is not longer than its bytes");
      if (!whole.done) return whole.refused ?? "incomplete";
      const again = chunked(whole.data, whole.trailers);
      const expected = { ...whole, used: again.length, trailers: forwarded(whole.trailers) };
      deepStrictEqual(readChunked(again, [], false), expected, "what is sent again reads the same");
      return whole.trailers === undefined ? "accepted" : "accepted with trailers";
    });
    // What the strict reader takes, the lenient one takes too.
    if (outcomes[1]!.startsWith("accepted")) strictEqual(outcomes[0], outcomes[1]);
    return outcomes.join(" / ");
  },
};

/** Leaves something behind in all that a connection keeps from head to head, if it is not reset. */
const EARLIER =
  "POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 1\r\nConnection: keep-alive, x\r\nKeep-Alive: timeout=9\r\n\r\nx";

const serverSession: Target = {
  name: "server-session",
  corpus: "requests",
  part: "all",
  check: async (text, cuts) => {
    const whole = await served(text, []);
    deepStrictEqual(await served(text, cuts), whole, "cut, requests read like the whole");
    const [, ...behind] = await served(text, [], EARLIER);
    deepStrictEqual(behind, whole, "behind another request, requests read as on a new connection");
    ok(whole.reduce((sum, { body }) => sum + body.length, 0) <= text.length, "bodies are not longer than their bytes");
    return whole.map(({ refused, ended }) => refused ?? (ended ? "accepted" : "incomplete")).join(", ");
  },
};

const clientSession: Target = {
  name: "client-session",
  corpus: "responses",
  part: "all",
  check: async (text, cuts) => {
    const outcomes: string[] = [];
    for (const method of ["GET", "HEAD"]) {
      const whole = await called(text, method, []);
      deepStrictEqual(await called(text, method, cuts), whole, "cut, a response reads like the whole");
      ok(whole.body.length <= text.length, "a body is not longer than its bytes");
      outcomes.push(
        whole.refused ?? `${whole.informational > 0 ? "1xx " : ""}${whole.reusable ? "reusable" : "closed"}`,
      );
    }
    return outcomes.join(" / ");
  },
};

/** Each piece between the cuts is a header block of one connection. */
const headerBlock: Target = {
  name: "header-block",
  corpus: "header-blocks",
  part: "all",
  check: (text, cuts) => {
    const outcomes = [4096, 100].map((maxTableBytes) => {
      const decoder = new HpackDecoder(maxTableBytes);
      const encoder = new HpackEncoder();
      const reader = new HpackDecoder();
      let from = 0;
      let count = 0;
      for (const end of [...cuts.filter((cut) => cut < text.length), text.length]) {
        const decoded = decodeBlock(decoder, text.slice(from, end));
        if (typeof decoded === "string") return decoded;
        const again = decodeBlock(reader, encodeBlock(encoder, decoded));
        deepStrictEqual(withoutSecrecy(again), withoutSecrecy(decoded), "what is sent again reads the same");
        for (const [index, [name, value, neverIndexed]] of decoded.entries()) {
          const room = Math.max(4096, text.length * 2);
          ok(name.length + value.length <= room, "a field is no larger than the table or its bytes");
          ok(!neverIndexed || (again as BlockFields)[index]![2], "what is never indexed stays so");
        }
        from = end;
        count += decoded.length;
      }
      return `accepted ${Math.min(count, 5)}`;
    });
    return outcomes.join(" / ");
  },
};

export const TARGETS: readonly Target[] = [
  requestHead,
  responseHead,
  chunkedBody,
  serverSession,
  clientSession,
  headerBlock,
];

type BlockFields = [name: string, value: string, neverIndexed: boolean, mark: number][];

/** The fields, or why there are none, without its numbers. */
function decodeBlock(decoder: HpackDecoder, text: string): BlockFields | string {
  const fields: BlockFields = [];
  try {
    const block = Buffer.from(text, "latin1");
    decoder.decode(block, 0, block.length, { field: (...field) => fields.push(field) });
    return fields;
  } catch (error) {
    if (!(error instanceof HpackError)) throw error;
    return error.message.replaceAll(/\d+/g, "…");
  }
}

/** The encoder makes secrets never indexed that were not. */
function withoutSecrecy(fields: BlockFields | string): unknown {
  return typeof fields === "string" ? fields : fields.map(([name, value, , mark]) => [name, value, mark]);
}

function encodeBlock(encoder: HpackEncoder, fields: BlockFields): string {
  let room = HpackEncoder.BEGIN_BYTES;
  for (const [name, value] of fields) room += HpackEncoder.maxBytes(name, value);
  const target = Buffer.alloc(room);
  let at = encoder.begin(target, 0);
  for (const [name, value, neverIndexed] of fields) at = encoder.field(target, at, name, value, neverIndexed);
  return target.toString("latin1", 0, at);
}

/** Parses whole, and growing from cut to cut as it would arrive: each step waits for more or says the same as the whole. */
function cutAnywhere<H>(
  parse: HeadParser<H>,
  text: string,
  cuts: readonly number[],
  limits: HeadLimits,
  partsOf: (head: H) => unknown,
): HeadOutcome<H> {
  const whole = parseHead(parse, text, limits);
  for (const cut of cuts) {
    if (cut >= text.length) break;
    const part = parseHead(parse, text.slice(0, cut), limits);
    if (part === "incomplete") continue;
    // A head that is too long and broken as well: the limit may be noticed before the rest has arrived.
    if (isRefused(part) && isRefused(whole) && text.length > limits.maxHeadBytes) break;
    deepStrictEqual(
      comparable(part, partsOf),
      comparable(whole, partsOf),
      `after ${cut} bytes a head reads like the whole`,
    );
    break;
  }
  return whole;
}

function isRefused(outcome: HeadOutcome<unknown>): boolean {
  return outcome !== "incomplete" && "refused" in outcome;
}

function comparable<H>(outcome: HeadOutcome<H>, partsOf: (head: H) => unknown): unknown {
  if (outcome === "incomplete" || "refused" in outcome) return outcome;
  return [partsOf(outcome.head), outcome.end];
}

function parseHead<H>(parse: HeadParser<H>, text: string, limits: HeadLimits): HeadOutcome<H> {
  // Bytes before and after show if somebody reads beyond what was given.
  const buffer = Buffer.from(`\r\n${text}\r\n\r\n`, "latin1");
  let head: H | undefined;
  const refused = onlyProxyError(() => (head = parse(buffer, 2, 2 + text.length, limits)));
  if (refused !== undefined) return { refused };
  return head === undefined ? "incomplete" : { head, end: lastHeadEnd() - 2 };
}

function serialisedAgain<H>(parse: HeadParser<H>, text: string, parts: unknown, partsOf: (head: H) => unknown): void {
  const outcome = parseHead(parse, text, { maxHeadBytes: text.length, maxFields: 1000 });
  ok(outcome !== "incomplete" && "head" in outcome, `what was accepted can be sent: ${JSON.stringify(text)}`);
  deepStrictEqual(partsOf(outcome.head), parts, "what is sent reads like what was accepted");
  strictEqual(outcome.end, text.length, "what is sent is one head and nothing behind it");
}

function requestParts(head: RequestHeader): unknown {
  return [head.method, head.target, pairs(head)];
}

function responseParts(head: ResponseHeader): unknown {
  return [head.status, head.reason, pairs(head)];
}

/** Runs `action`; returns the kind of the ProxyError it threw, and throws any other. */
function onlyProxyError(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    return kindOf(error);
  }
}

function kindOf(error: ProxyError): string {
  return `${error.type} ${error.status ?? ""}`;
}

/** As {@link kindOf}; but of what is too long and broken as well, which of the two is noticed first depends on the cuts. */
function sessionKindOf(error: ProxyError, text: string): string {
  return text.length > SMALL.maxHeadBytes ? error.type : kindOf(error);
}

interface ChunkedOutcome {
  data: string;
  trailers: Pairs | undefined;
  used: number;
  done: boolean;
  refused: string | undefined;
}

function readChunked(text: string, cuts: readonly number[], lenient: boolean): ChunkedOutcome {
  const reader = new BodyReader(DEFAULT_HEAD_LIMITS, lenient);
  reader.startChunked();
  let data = "";
  let used = 0;
  const refused = onlyProxyError(() => {
    for (const end of [...cuts.filter((cut) => cut < text.length), text.length]) {
      // As the sessions do: what arrived is used up before more comes.
      const buffer = Buffer.from(text.slice(used, end), "latin1");
      let at = 0;
      while (at < buffer.length && !reader.done) {
        const next = reader.read(buffer, at, buffer.length);
        ok(next > at, "a reader that is not done goes on");
        at = next;
        if (reader.piece !== undefined) data += reader.piece.toString("latin1");
        reader.piece = undefined;
      }
      used += at;
    }
  });
  // A body that is refused is given up, and with it what of it was not delivered yet: how much that is depends on the cuts.
  if (refused !== undefined) return { data: "", trailers: undefined, used: text.length, done: false, refused };
  strictEqual(reader.bytes, data.length, "the reader counts what it gives");
  const trailers = reader.trailers && pairs(reader.trailers);
  return { data, trailers, used, done: reader.done, refused };
}

function chunked(data: string, trailers: Pairs | undefined): string {
  const chunk = data === "" ? "" : `${data.length.toString(16)}\r\n${data}\r\n`;
  return chunk + lastChunkText(trailers && new HeaderFields(trailers.flat()));
}

/** The trailers that may be sent on (RFC 9110, section 6.5.1), as `serialize.ts` decides. */
function forwarded(trailers: Pairs | undefined): Pairs | undefined {
  if (trailers === undefined) return undefined;
  const sent = new Set(lastChunkText(new HeaderFields(trailers.flat())).split("\r\n"));
  const left = trailers.filter(([name, value]) => sent.has(`${name}: ${value}`));
  return left.length === 0 ? undefined : left;
}

interface ServedRequest {
  method: string;
  target: string;
  fields: Pairs;
  body: string;
  trailers: Pairs | undefined;
  ended: boolean;
  refused: string | undefined;
}

/** Without a body, so that the answers can be counted. */
async function answerBriefly(seen: SeenRequest): Promise<void> {
  await wholeBody(seen);
  respond(seen.session, seen.session.error === undefined ? 200 : (seen.session.error.status ?? 400), "");
}

async function served(text: string, cuts: readonly number[], earlier = ""): Promise<ServedRequest[]> {
  const server = serve(answerBriefly, SMALL, { toLocal: { cuts } });
  await server.send(earlier + text);
  const requests = server.requests.map(({ session, body, trailers, ended }): ServedRequest => {
    const { method, target } = session.request;
    const refused = session.error && sessionKindOf(session.error, text);
    const fields = pairs(session.request);
    // Of a body that is refused, how much was delivered before depends on the cuts.
    if (refused !== undefined) return { method, target, fields, body: "", trailers: undefined, ended: false, refused };
    return { method, target, fields, body, trailers, ended: ended || session.requestBodyDone, refused };
  });
  const answers = server.got.text.split("HTTP/1.1 ").length - 1;
  ok(
    answers === requests.filter(({ ended, refused }) => ended || refused !== undefined).length,
    "each request has its answer",
  );
  server.connection.destroy();
  return requests;
}

interface CalledResponse {
  start: string;
  fields: Pairs;
  body: string;
  trailers: Pairs | undefined;
  informational: number;
  ended: boolean;
  refused: string | undefined;
  reusable: boolean;
}

async function called(text: string, method: string, cuts: readonly number[]): Promise<CalledResponse> {
  const client = call({}, SMALL, { toLocal: { cuts } });
  const seen = client.request(method);
  await client.send(text);
  client.origin.end();
  await client.pair.flush();
  const { header, error, body, trailers, informational, ended } = seen;
  const last = seen.order.at(-1);
  ok(last === "end" || last === "error", "a connection that ended ends its exchange");
  if (error === undefined) client.connection.release();
  const outcome = {
    start: header === undefined ? "" : `${header.version} ${header.status} ${header.reason}`,
    fields: header === undefined ? [] : pairs(header),
    // As above.
    body: error === undefined ? body : "",
    trailers,
    informational: informational.length,
    ended,
    refused: error && sessionKindOf(error, text),
    reusable: client.stored.length > 0,
  };
  client.connection.destroy();
  return outcome;
}
