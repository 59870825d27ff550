import { gunzipSync } from "node:zlib";
import type { Message } from "../../packages/proxy/test/support/message.ts";
import type { Leg } from "../matrix/legs.ts";
import {
  bodyBehind,
  fails,
  fieldsBehind,
  mayEnd,
  plan,
  refusedBy,
  type Fields,
  type Hooks,
  type Plan,
} from "./plan.ts";

/** A body that went up so far may not be sent again: 64 KiB, but for what modules put to it. */
const KEPT_BYTES = 65_000;

/** What a client has of an answer that was cut. */
export interface Part {
  readonly body: Buffer;
  readonly error: string;
}

/** Knows of every exchange what is to come of it, what came, and what was done to it beside its plan. */
export class World {
  readonly failures: unknown[] = [];
  readonly leg: Leg;
  readonly #hooks: Hooks;
  readonly #plans = new Map<number, Plan>();
  /** How often an origin has taken the request of a seed, and not said that it did not. */
  readonly seen: Map<number, number> = new Map();
  /** Those of which an origin has said that it did not take them. */
  readonly refused: Set<number> = new Set();
  /** Those that lost their connection because of another. */
  readonly #struck = new Set<number>();
  /** Those whose client has left. */
  readonly #left = new Set<number>();
  /** Those that a client waits for. */
  readonly waiting: Set<number> = new Set();
  /** Those that no answer came for, since the connection ended by one that they stood behind: nobody may have begun them. */
  readonly unanswered: Set<number> = new Set();
  /** Those whose client has ended its direction, and of them those that no whole answer came for. */
  readonly #halfClosed = new Set<number>();
  readonly abandoned: Set<number> = new Set();
  /** Whether origins lose connections with all that is under way on them. */
  readonly losesConnections: boolean;
  #hasGoneAway = false;

  constructor(hooks: Hooks, leg: Leg, losesConnections: boolean) {
    this.losesConnections = losesConnections;
    this.#hooks = hooks;
    this.leg = leg;
  }

  planOf(seed: number): Plan {
    let planned = this.#plans.get(seed);
    if (planned === undefined) this.#plans.set(seed, (planned = plan(seed, this.#hooks, this.leg)));
    return planned;
  }

  readonly planOfTarget = (target: string): Plan => this.planOf(Number(target.slice(1)));

  fail(planned: Plan, what: string): void {
    this.failures.push(`${planned.seed}: ${what}`);
  }

  begins({ seed }: Plan): void {
    this.waiting.add(seed);
  }

  taken({ seed }: Plan): void {
    this.seen.set(seed, (this.seen.get(seed) ?? 0) + 1);
  }

  /** A connection of an origin takes no more. */
  goneAway(): void {
    this.#hasGoneAway = true;
  }

  /** Of those that the proxy has begun: what nobody was to begin, and what was told as served and has not come. */
  misserved(finished: readonly { readonly target: string; readonly error: unknown }[]): string[] {
    return finished.flatMap(({ target, error }) => {
      const seed = Number(target.slice(1));
      if (this.unanswered.has(seed)) return [`${seed}: was begun, and its answer is lost`];
      return error === undefined && this.abandoned.has(seed) ? [`${seed}: was told as served, and has not come`] : [];
    });
  }

  /** A connection of an origin is lost, with what had come by it. */
  lost(seeds: Iterable<number>): void {
    for (const seed of seeds) if (this.waiting.has(seed) || this.#left.has(seed)) this.#struck.add(seed);
  }

  checkRequest(planned: Plan, message: Pick<Message, "body" | "fields" | "trailers">, hasTrailers: boolean): void {
    const { leaves, request } = planned;
    if (leaves === "in the upload") this.fail(planned, "an upload that was cut looks whole");
    if (!message.body.equals(bodyBehind(request)))
      this.fail(planned, different("request body", message.body, bodyBehind(request)));
    this.#checkFields(planned, "request fields", message.fields, fieldsBehind(request));
    this.#checkFields(planned, "request trailers", message.trailers, hasTrailers ? request.trailers : []);
  }

  /** What came of a request that was cut must be the beginning of it. */
  checkPartOfRequest(planned: Plan, body: Buffer): void {
    const wanted = bodyBehind(planned.request);
    if (!body.equals(wanted.subarray(0, body.length)))
      this.fail(planned, different("part of the request body", body, wanted));
  }

  /** The connection ended by an answer before its own. */
  isUnanswered({ seed }: Plan): void {
    this.waiting.delete(seed);
    this.unanswered.add(seed);
  }

  /** The client has ended its direction, by which it has left. */
  halfClosed(group: readonly Plan[]): void {
    for (const { seed } of group) this.#halfClosed.add(seed);
  }

  /** No whole answer came to a client that has ended its direction. */
  abandons({ seed }: Plan): void {
    this.waiting.delete(seed);
    this.#left.add(seed);
    this.abandoned.add(seed);
  }

  /** The client has left, of which the proxy may hear later than of what happens on the other side. */
  left({ seed }: Plan): void {
    this.waiting.delete(seed);
    this.#left.add(seed);
  }

  /** What a client made of it, or what it got of it if it was cut. */
  checkResponse(planned: Plan, answer: Message | Part, interim: number): void {
    const isTooLarge = this.#isTooLarge(planned);
    const isExcused = fails(planned) || isTooLarge || this.#isLost(planned) || this.#isStale(planned);
    this.waiting.delete(planned.seed);
    if (!("status" in answer) && this.#halfClosed.has(planned.seed)) this.abandons(planned);
    else if (!("status" in answer)) {
      if (!isExcused) this.fail(planned, `cut: ${answer.error}`);
      const wanted = this.#wantedBody(planned);
      if (!answer.body.equals(wanted.subarray(0, answer.body.length)) && !mayBeCoded(planned))
        this.fail(planned, different("part of the response body", answer.body, wanted));
    }
    if (!("status" in answer) || (isExcused && answer.status === 502)) return;
    if (answer.status === refusedBy(planned)) return;
    // While the next attempt began, a module that takes its time has made more of the body than is kept.
    if (isTooLarge && answer.status === 500) return;
    if (fails(planned)) return this.fail(planned, `${answer.status} to what was cut`);
    this.#checkWhole(planned, answer, interim);
  }

  #checkWhole(planned: Plan, answer: Message, interim: number): void {
    const { leg } = this;
    const { response, status, version } = planned;
    if (answer.status !== status) return this.fail(planned, `status ${answer.status} instead of ${status}`);
    if (
      leg.downstream === 1 &&
      answer.field("connection") === "close" &&
      !mayEnd(planned) &&
      !this.#halfClosed.has(planned.seed)
    )
      this.fail(planned, "the connection is not to go on");
    const wantedInterim = version === "1.0" ? 0 : planned.interim;
    // A client of HTTP/2 that is slow gets none.
    const isInterim = leg.downstream === 2 ? interim <= wantedInterim : interim === wantedInterim;
    if (!isInterim) this.fail(planned, `${interim} interim heads`);
    if (answer.field("x-seed") !== String(planned.seed)) this.fail(planned, `the answer of ${answer.field("x-seed")}`);
    const coded = answer.field("content-encoding") === "gzip" && answer.body.length > 0;
    const body = coded ? gunzipSync(answer.body) : answer.body;
    const wanted = this.#wantedBody(planned);
    if (!body.equals(wanted)) this.fail(planned, different("response body", body, wanted));
    this.#checkFields(planned, "response fields", answer.fields, fieldsBehind(response));
    const hasTrailers = leg.downstream === 2 || answer.field("transfer-encoding") !== undefined;
    const trailers = hasTrailers && planned.method !== "HEAD" ? response.trailers : [];
    this.#checkFields(planned, "response trailers", answer.trailers, trailers);
  }

  /** How often each request may have been taken: what an origin took more or less often. */
  miscounted(): string[] {
    return [...this.#plans.values()].flatMap((planned) => {
      const { ending, leaves, losesHead, method, seed } = planned;
      const times = this.seen.get(seed) ?? 0;
      if (ending !== undefined || this.unanswered.has(seed))
        return times === 0 ? [] : [`${seed}: ${method} was taken, though nobody is to get it`];
      const most = method === "POST" || !(losesHead || this.#struck.has(seed)) ? 1 : Number.POSITIVE_INFINITY;
      const isLeast =
        times > 0 ||
        leaves !== undefined ||
        this.losesConnections ||
        this.abandoned.has(seed) ||
        this.#isStale(planned) ||
        this.#isTooLarge(planned) ||
        this.#hasGoneAway;
      return isLeast && times <= most ? [] : [`${seed}: ${method} was taken ${times} times`];
    });
  }

  #wantedBody({ method, response }: Plan): Buffer {
    return response.framing === "none" || method === "HEAD" ? Buffer.alloc(0) : bodyBehind(response);
  }

  /** Lost with a connection, before or after an origin had it. */
  #isLost({ seed }: Plan): boolean {
    return this.#struck.has(seed) || (this.losesConnections && !this.seen.has(seed));
  }

  /** An origin of HTTP/1 may have ended the connection that it went up by, and it could not be sent again. */
  #isStale({ method, request, seed }: Plan): boolean {
    return this.leg.upstream === 1 && !this.seen.has(seed) && (method === "POST" || request.body.length > KEPT_BYTES);
  }

  /** An attempt may have failed, and there was too much of it to send it again. */
  #isTooLarge({ readsBody, request, seed }: Plan): boolean {
    const hasFailed = this.refused.has(seed) || this.losesConnections || this.#hasGoneAway || this.leg.upstream === 1;
    return hasFailed && request.body.length > KEPT_BYTES && (!readsBody || request.changes[0] !== "nothing");
  }

  #checkFields(planned: Plan, what: string, got: Fields, wanted: Fields): void {
    const { downstream, upstream } = this.leg;
    const spelt = (name: string): string => (downstream === 2 || upstream === 2 ? name.toLowerCase() : name);
    const show = (fields: Fields): string =>
      JSON.stringify(fields.filter(([name]) => /^x-[ft]/i.test(name)).map(([name, value]) => [spelt(name), value]));
    if (show(got) !== show(wanted)) this.fail(planned, `${what} ${show(got)} instead of ${show(wanted)}`);
  }
}

/** What comes may be compressed. */
function mayBeCoded({ acceptsGzip, originEncodes }: Plan): boolean {
  return acceptsGzip || originEncodes;
}

function different(what: string, got: Buffer, wanted: Buffer): string {
  const at = got.findIndex((byte, index) => byte !== wanted[index]);
  return `${what}: ${got.length} bytes instead of ${wanted.length}, the first other one at ${at}`;
}
