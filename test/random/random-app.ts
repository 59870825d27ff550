import { responseCompression, type HttpModule } from "../../packages/core/src/index.ts";
import type { HeaderFields, RequestHeader, ResponseHeader } from "../../packages/http/src/index.ts";
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
    async requestFilter(session, { plan }) {
      if (!plan.readsBody) return;
      const body = await session.readRequestBody({ maxBytes: 10_000_000 });
      if (!body.equals(plan.request.body)) failures.push(`${plan.seed}: readRequestBody gave ${body.length} bytes`);
    },
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
