import { responseCompression, type HttpModule } from "../../packages/core/src/index.ts";
import type { HeaderFields, RequestHeader, ResponseHeader } from "../../packages/http/src/index.ts";
import { errorStatus, type Responded, type Session } from "../../packages/proxy/src/index.ts";
import type { TestApp } from "../../packages/proxy/test/support/proxy.ts";
import { bodyHook, slowly } from "./body-hooks.ts";
import { bodyBehind, type Direction, type FieldEdit, type Hooks, type Plan } from "./plan.ts";
import { random, type Below } from "./random.ts";

/** What the hooks of a request share. */
export interface Ctx {
  plan: Plan;
  below: Below;
  requestBody: ReturnType<typeof bodyHook>;
  upstreamResponseBody: ReturnType<typeof bodyHook>;
  responseBody: ReturnType<typeof bodyHook>;
}

/** Does to every exchange what its plan says. */
export function randomApp(
  hooks: Hooks,
  planOf: (target: string) => Plan,
  failures: unknown[],
): Omit<TestApp<Ctx>, "origin"> {
  const app: Omit<TestApp<Ctx>, "origin"> = {
    newCtx: () => ({}) as Ctx,
    earlyRequestFilter(session, ctx) {
      ctx.plan = planOf(session.request.target);
      ctx.below = random(ctx.plan.seed + 3);
      if (ctx.plan.drains) session.limits.earlyResponse = "drain";
      const { response } = ctx.plan;
      ctx.upstreamResponseBody = bodyHook(response.changes[0]!, ctx.below);
      ctx.responseBody = bodyHook(response.changes[1]!, ctx.below);
    },
    requestFilter(session, ctx) {
      const { below, plan } = ctx;
      if (plan.readsBody) return readBody(session, plan, failures).then(() => endHere(session, plan));
      return plan.ending === "answers later" ? slowly(below, () => endHere(session, plan)) : endHere(session, plan);
    },
    failToProxy: (_session, error, { plan }) => (plan?.ending === "says nothing" ? 0 : errorStatus(error)),
    upstreamRequestFilter(_session, outgoing, ctx) {
      const { below, plan } = ctx;
      // Each attempt gets the whole body.
      ctx.requestBody = bodyHook(plan.request.changes[1]!, below);
      return slowly(below, () => editHead(outgoing, plan.request, plan.request.framing !== "none"));
    },
    upstreamResponseFilter: (_session, response, { below }) => slowly(below, () => void response.status),
    responseFilter: (_session, response, { below, plan }) =>
      slowly(below, () => {
        const { method, response: planned, status } = plan;
        const hasBody = planned.framing !== "none" && method !== "HEAD";
        if (response.status === status) editHead(response, planned, hasBody);
      }),
  };
  if (hooks.requestBody) {
    app.requestBodyFilter = (_session, piece, end, { below, requestBody }) =>
      slowly(below, () => requestBody(piece, end));
  }
  if (hooks.upstreamResponseBody) {
    app.upstreamResponseBodyFilter = (_session, piece, end, ctx) => ctx.upstreamResponseBody(piece, end);
  }
  if (hooks.responseBody) app.responseBodyFilter = (_session, piece, end, ctx) => ctx.responseBody(piece, end);
  if (hooks.module) {
    app.initDownstreamModules = (modules) =>
      void modules
        .add({ type: RandomModule, init: ({ request }) => new RandomModule(planOf(request.target)) })
        .add(responseCompression({ level: 1, decompression: true, flushAfterMs: 1 }));
  }
  return app;
}

async function readBody(session: Session, { request, seed }: Plan, failures: unknown[]): Promise<void> {
  const body = await session.readRequestBody({ maxBytes: 10_000_000 });
  if (!body.equals(request.body)) failures.push(`${seed}: readRequestBody gave ${body.length} bytes`);
}

/** What the plan has for it instead of an origin, if it has. */
function endHere(session: Session, { ending, response, seed, status }: Plan): Responded | undefined {
  switch (ending) {
    case undefined:
      return undefined;
    case "aborts":
      session.downstream.abort();
      throw new Error("broken off, as planned");
    case "says nothing":
    case "throws":
    case "malformed":
      throw new Error("failed, as planned");
    case "closes":
      session.downstream.disableKeepAlive();
      break;
    case "answers":
    case "answers later":
  }
  const fields: [string, string][] = [
    ["X-Seed", String(seed)],
    ["Content-Type", "text/plain"],
  ];
  for (const [name, value] of response.fields) fields.push([name, value]);
  return session.respond(status, { fields, body: response.body });
}

/** A hook of the body like the filters, at the place of the modules. A module knows no delays. */
class RandomModule implements HttpModule {
  readonly #below: Below;
  readonly #request: ReturnType<typeof bodyHook>;
  readonly #response: ReturnType<typeof bodyHook>;

  constructor({ seed, request, response }: Plan) {
    this.#below = random(seed + 4);
    this.#request = bodyHook(request.changes[0]!, this.#below);
    this.#response = bodyHook(response.changes[2]!, this.#below);
  }

  requestBody(piece: Uint8Array | undefined, end: boolean): Uint8Array | void | Promise<Uint8Array | void> {
    return slowly(this.#below, () => bytesOnly(this.#request(piece, end)));
  }

  responseBody(piece: Uint8Array | undefined, end: boolean): Uint8Array | void | Promise<Uint8Array | void> {
    return slowly(this.#below, () => bytesOnly(this.#response(piece, end)));
  }
}

function bytesOnly(given: ReturnType<ReturnType<typeof bodyHook>>): Uint8Array | undefined {
  return given instanceof Uint8Array ? given : given?.piece;
}

function editHead(head: RequestHeader | ResponseHeader, planned: Direction, hasBody: boolean): void {
  for (const edit of planned.edits) editField(head, edit);
  if (!hasBody) return;
  if (planned.lengthEdit === "remove") head.remove("Content-Length");
  if (planned.lengthEdit === "set") head.set("Content-Length", bodyBehind(planned).length);
}

function editField(fields: HeaderFields, { how, name, value }: FieldEdit): void {
  if (how === "remove") fields.remove(name);
  else fields[how](name, value);
}
