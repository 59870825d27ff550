import { gzipSync } from "node:zlib";
import { patternBytes } from "../../packages/proxy/test/support/message.ts";
import type { Leg } from "../matrix/legs.ts";
import { CHANGING, changed, changesLength, KEEPING, type BodyChange } from "./body-hooks.ts";
import { oneOf, random, type Below } from "./random.ts";

type Framing = "none" | "content-length" | "chunked" | "until-close";
export type Fields = readonly (readonly [name: string, value: string])[];

/** An edit of a head by a hook. */
export interface FieldEdit {
  readonly how: "remove" | "append" | "set";
  readonly name: string;
  readonly value: string;
}

/** One direction of an exchange. */
export interface Direction {
  readonly framing: Framing;
  readonly body: Buffer;
  readonly trailers: Fields;
  readonly fields: Fields;
  readonly edits: readonly FieldEdit[];
  /** What the hooks do to the body, in their order. */
  readonly changes: readonly BodyChange[];
  /** A hook takes Content-Length away, or says the new one where the length was unknown; nothing: it is left as it is. */
  readonly lengthEdit: "remove" | "set" | "nothing";
}

/**
 * What becomes of a request that no origin gets: the app answers it, at once or later, or with the end of the connection; it gives no
 * answer at all, breaks the exchange off, or fails; or the request is none.
 */
type Ending = "answers" | "answers later" | "closes" | "says nothing" | "aborts" | "throws" | "malformed";

/** One exchange, decided by its seed alone, which everybody reads from the target. */
export interface Plan {
  readonly seed: number;
  readonly method: string;
  readonly version: "1.0" | "1.1" | "2";
  readonly request: Direction;
  readonly status: number;
  readonly response: Direction;
  /** The origin compresses its body. */
  readonly originEncodes: boolean;
  readonly acceptsGzip: boolean;
  /** The request asks to be told to go on; the origin tells. */
  readonly expects: boolean;
  /** A filter reads the whole request body before it goes up. */
  readonly readsBody: boolean;
  /** Interim heads before the final one. */
  readonly interim: number;
  /** The origin answers before it reads the body, and reads it or not. */
  readonly early: boolean;
  /** What is left of the request body behind an early answer is read and dropped, and the connection goes on. */
  readonly drains: boolean;
  /** The origin ends the connection in the middle of its body. */
  readonly isCut: boolean;
  /** The client asks for the end of the connection. */
  readonly closes: boolean;
  /** Where the client leaves, if it does. */
  readonly leaves: "in the upload" | "before the answer" | "in the answer" | undefined;
  /** The origin takes the request, and ends the connection, or the stream, without a word of an answer. */
  readonly losesHead: boolean;
  /** What an origin of HTTP/2 does once before it takes the request: it refuses it, sooner or later, or says that it takes no more. */
  readonly refusal: "refuses" | "refuses late" | "goes away" | undefined;
  /** What the proxy does with it by itself; `undefined`: it goes up. */
  readonly ending: Ending | undefined;
  /** An origin of HTTP/1 ends its connection right behind its whole answer, without having said so. */
  readonly endsBehind: boolean;
  /** How an origin of HTTP/2 cuts: by a reset, or by the end of the connection, which takes others along. */
  readonly cutBy: "reset" | "FIN" | "TCP reset" | "GOAWAY";
}

/** Which hooks an app has. */
export interface Hooks {
  readonly requestBody: boolean;
  readonly upstreamResponseBody: boolean;
  readonly responseBody: boolean;
  readonly module: boolean;
}

/** Many are small or at an edge of what is copied, kept or read at once. */
const SIZES = [0, 1, 2, 100, 4095, 4096, 4097, 16_383, 16_384, 30_000, 65_535, 65_536, 65_537, 100_000, 200_000];
const BODILESS = new Set([204, 304]);
const ENDINGS: readonly Ending[] = [
  "answers",
  "answers",
  "answers later",
  "closes",
  "says nothing",
  "aborts",
  "throws",
  "malformed",
];
/** What concerns a connection of HTTP/1, or is told to a client of HTTP/2 in another way. */
const HTTP1_ENDINGS = new Set<Ending | undefined>(["closes", "malformed"]);

export function plan(seed: number, hooks: Hooks, { downstream }: Pick<Leg, "downstream">): Plan {
  const below = random(seed);
  const chance = (of: number): boolean => below(of) === 0;
  const is10 = chance(8);
  const version = downstream === 2 ? "2" : is10 ? "1.0" : "1.1";
  const method = oneOf(below, ["GET", "GET", "PUT", "POST", "POST", "DELETE", "HEAD"]);
  const hasBody = method !== "GET" && method !== "HEAD" ? !chance(4) : chance(8);
  const requestFraming = !hasBody ? "none" : version === "1.0" || chance(2) ? "content-length" : "chunked";
  const request = direction(below, requestFraming, (body) =>
    // To a request without a body no hook can give one.
    [hooks.module, hooks.requestBody].map((there) =>
      change(below, there && (body.length > 0 || requestFraming === "chunked"), false),
    ),
  );

  const status = oneOf(below, [200, 200, 200, 200, 201, 404, 204, 304]);
  const bodiless = BODILESS.has(status) || method === "HEAD";
  const originEncodes = !bodiless && chance(6);
  const framing = oneOf(below, ["content-length", "content-length", "chunked", "chunked", "until-close"] as const);
  const there = [hooks.upstreamResponseBody, hooks.responseBody, hooks.module];
  const response = direction(
    below,
    BODILESS.has(status) ? "none" : framing,
    () => there.map((is) => change(below, is && !bodiless, originEncodes)),
    originEncodes,
  );
  const early = hasBody && chance(10);
  const served: Served = {
    seed,
    method,
    version,
    request,
    status,
    response,
    originEncodes,
    acceptsGzip: chance(2),
    expects: version !== "1.0" && hasBody && !early && chance(6),
    readsBody: hasBody && chance(6),
    interim: chance(5) ? 1 + below(3) : 0,
    early,
    // Where a hook says that there is nothing, nothing shows that it was cut.
    isCut:
      !bodiless &&
      framing !== "until-close" &&
      response.body.length > 0 &&
      bodyBehind(response).length > 0 &&
      chance(12),
    closes: chance(12),
    drains: version !== "1.0" && chance(2),
  };
  const planned: Plan = {
    ...served,
    ...mishaps(served, below),
    ending: undefined,
    endsBehind: chance(12) && framing !== "until-close",
  };
  const ending = chance(6) && planned.leaves === undefined ? oneOf(below, ENDINGS) : undefined;
  if (ending === undefined || (downstream === 2 && HTTP1_ENDINGS.has(ending))) return planned;
  return withoutOrigin(planned, ending);
}

/** Answers of the app pass the modules, and no filters. */
function withoutOrigin(planned: Plan, ending: Ending): Plan {
  const { request, response } = planned;
  const [, , last = "nothing"] = response.changes;
  return {
    ...planned,
    ending,
    // Of a request with a body that nobody reads it is one.
    early: request.framing !== "none",
    expects: false,
    interim: 0,
    isCut: false,
    losesHead: false,
    refusal: undefined,
    endsBehind: false,
    originEncodes: false,
    response: {
      ...response,
      framing: response.framing === "none" ? "none" : "content-length",
      trailers: [],
      edits: [],
      changes: ["nothing", "nothing", changesLength(last) ? "nothing" : last],
    },
  };
}

type Mishap = "leaves" | "losesHead" | "refusal" | "cutBy";
type Served = Omit<Plan, Mishap | "ending" | "endsBehind">;

/** What goes wrong beside it. */
function mishaps({ early, isCut, request }: Served, below: Below): Pick<Plan, Mishap> {
  const leaves =
    below(12) === 0 && !isCut
      ? oneOf(below, ["in the upload", "before the answer", "in the answer"] as const)
      : undefined;
  // Behind a hook that takes all of it, it is whole at once.
  const canCutUpload = request.body.length > 0 && !request.changes.includes("drop") && !early;
  return {
    leaves: leaves === "in the upload" && !canCutUpload ? "before the answer" : leaves,
    losesHead: below(20) === 0 && !isCut && !early && leaves === undefined,
    refusal: below(8) === 0 ? oneOf(below, ["refuses", "refuses late", "goes away"] as const) : undefined,
    cutBy: oneOf(below, ["reset", "FIN", "TCP reset", "GOAWAY"] as const),
  };
}

/** No whole answer comes of it. */
export function fails({ ending, isCut, losesHead }: Plan): boolean {
  return isCut || losesHead || ending === "says nothing" || ending === "aborts";
}

/** The status by which the proxy itself refuses it. */
export function refusedBy({ ending }: Plan): number | undefined {
  return ending === "malformed" ? 400 : ending === "throws" ? 500 : undefined;
}

/** The client's connection may end behind it. */
export function mayEnd(planned: Plan): boolean {
  const { closes, drains, early, ending, leaves, request, version } = planned;
  // The origin may have all that the new length promises before the client has sent the end, and answer.
  const isEarly = early || (request.framing !== "none" && request.lengthEdit === "set");
  const isEnded = closes || ending === "closes" || refusedBy(planned) !== undefined || fails(planned);
  return isEnded || (isEarly && !drains) || leaves !== undefined || version === "1.0";
}

/** The body as it stands on the origin's wire. */
export function originBody({ originEncodes, response }: Plan): Buffer {
  return originEncodes ? gzipSync(response.body, { level: 1 }) : response.body;
}

/** The model: a direction behind all hooks. */
export function bodyBehind({ body, changes }: Direction): Buffer {
  return changes.reduce((before, one) => changed(one, before), body);
}

/** The model: the fields behind the edits. */
export function fieldsBehind({ fields, edits }: Direction): Fields {
  let all = [...fields];
  for (const { how, name, value } of edits) {
    const same = (other: string): boolean => other.toLowerCase() === name.toLowerCase();
    const at = all.findIndex(([other]) => same(other));
    if (how === "append" || (how === "set" && at < 0)) all.push([name, value]);
    else {
      if (how === "set") all[at] = [name, value];
      all = all.filter(([other], index) => !same(other) || (how === "set" && index === at));
    }
  }
  return all;
}

function change(below: Below, isThere: boolean, onlyKeeping: boolean): BodyChange {
  if (!isThere) return "nothing";
  return onlyKeeping || below(3) > 0 ? oneOf(below, KEEPING) : oneOf(below, CHANGING);
}

function direction(
  below: Below,
  framing: Framing,
  changesOf: (body: Buffer) => readonly BodyChange[],
  encodes = false,
): Direction {
  const body =
    framing === "none" ? Buffer.alloc(0) : patternBytes(oneOf(below, SIZES) + 4 * below(50)).subarray(4 * below(9));
  const fields = fieldsOf(below, oneOf(below, [0, 1, 3, 12, 27, 28, 29, 30, 31, 60]), "X-F");
  const trailers = framing === "chunked" && below(3) === 0 ? fieldsOf(below, 1 + below(3), "X-T") : [];
  const edits = Array.from({ length: below(2) * below(5) }, () => ({
    how: oneOf(below, ["remove", "append", "set"] as const),
    name: nameOf(below, "X-F"),
    value: valueOf(below),
  }));
  const changes = changesOf(body);
  const lengthEdit = changes.some(changesLength)
    ? oneOf(below, ["remove", "set"] as const)
    : oneOf(below, encodes ? (["nothing", "remove"] as const) : (["nothing", "nothing", "remove", "set"] as const));
  return { framing, body, trailers, fields, edits, changes, lengthEdit };
}

function fieldsOf(below: Below, count: number, prefix: string): [string, string][] {
  return Array.from({ length: count }, () => [nameOf(below, prefix), valueOf(below)]);
}

/** Few, so that some stand there more than once. */
function nameOf(below: Below, prefix: string): string {
  const name = `${prefix}-${below(12)}`;
  return below(3) === 0 ? name.toLowerCase() : name;
}

function valueOf(below: Below): string {
  return Array.from({ length: below(12) }, () =>
    String.fromCharCode(oneOf(below, [0x61, 0x41, 0x2c, 0x3a, 0x80, 0xff, 0xe9])),
  ).join("");
}
