import type { Session } from "../../packages/proxy/src/index.ts";
import { describe, expect, test } from "vitest";
import type { TestApp } from "../../packages/proxy/test/support/proxy.ts";
import { LEGS } from "./legs.ts";
import { line } from "./line.ts";

/** Every hook that a request with a body and trailers both ways meets, each noting its name. */
function noting(calls: string[]): TestApp<object> {
  const note = (name: string) => (): undefined => void calls.push(name);
  const pieces = (name: string) => {
    return (_session: Session, piece: Uint8Array | undefined, end: boolean): undefined => {
      const what = `${name}${end ? " end" : ""}`;
      // How bodies are cut is the network's business.
      if (piece !== undefined || end) if (calls.at(-1) !== what) calls.push(what);
    };
  };
  return {
    earlyRequestFilter: note("earlyRequestFilter"),
    requestFilter: note("requestFilter"),
    proxyUpstreamFilter: note("proxyUpstreamFilter"),
    connectedToUpstream: note("connectedToUpstream"),
    upstreamRequestFilter: note("upstreamRequestFilter"),
    requestBodyFilter: pieces("requestBodyFilter"),
    requestTrailerFilter: note("requestTrailerFilter"),
    adjustUpstreamModules: note("adjustUpstreamModules"),
    upstreamResponseFilter: note("upstreamResponseFilter"),
    responseFilter: note("responseFilter"),
    upstreamResponseBodyFilter: pieces("upstreamResponseBodyFilter"),
    responseBodyFilter: pieces("responseBodyFilter"),
    upstreamResponseTrailerFilter: note("upstreamResponseTrailerFilter"),
    responseTrailerFilter: note("responseTrailerFilter"),
    logging: note("logging"),
  };
}

/** What single hooks do is tested over the same legs in packages/proxy/test/phases. */
describe.each(LEGS)("$name", (leg) => {
  test("every hook runs once, in its order", async () => {
    const calls: string[] = [];
    await using on = await line(
      leg,
      async (visit) => {
        const { body } = await visit.body();
        visit.response.writeHead(200, { trailer: "x-sum" });
        visit.response.write(body);
        visit.response.addTrailers({ "x-sum": "1" });
        visit.response.end();
      },
      noting(calls),
    );
    await on.client.ask({
      method: "POST",
      fields: { TE: "trailers", Trailer: "x-up" },
      stream: async (write, end) => {
        await write("body");
        end({ "x-up": "1" });
      },
    }).answered;
    await on.proxy.whenFinished();
    expect(calls).toEqual([
      "earlyRequestFilter",
      "requestFilter",
      "proxyUpstreamFilter",
      "connectedToUpstream",
      "upstreamRequestFilter",
      "requestBodyFilter",
      "requestBodyFilter end",
      "requestTrailerFilter",
      "adjustUpstreamModules",
      "upstreamResponseFilter",
      "responseFilter",
      "upstreamResponseBodyFilter",
      "responseBodyFilter",
      "upstreamResponseBodyFilter end",
      "responseBodyFilter end",
      "upstreamResponseTrailerFilter",
      "responseTrailerFilter",
      "logging",
    ]);
  });

  test("a filter answers a request whose body nobody reads, and the next one is served", async () => {
    const app: TestApp<object> = { requestFilter: (session) => session.respond(401) };
    await using on = await line(leg, undefined, app);
    for (let n = 0; n < 3; n++) {
      expect((await on.client.ask({ method: "POST", body: Buffer.alloc(30_000) }).answered).status).toBe(401);
    }
  });

  test("what is accounted for is what went", async () => {
    const counted: number[] = [];
    const logging = ({ downstream, responseBodyBytes, upstreamBodyBytes }: Session): void =>
      void counted.push(downstream.requestBodyBytes, responseBodyBytes, upstreamBodyBytes);
    await using on = await line(leg, async (visit) => visit.answer(200, {}, (await visit.body()).body), { logging });
    await on.client.ask({ method: "POST", body: Buffer.alloc(5000) }).answered;
    const { session, error } = await on.proxy.whenFinished();
    expect(error).toBeUndefined();
    expect([counted, session.outcome.status]).toEqual([[5000, 5000, 5000], 200]);
    const { headReadAtMs, connectedAtMs, responseHeadAtMs, endedAtMs } = session.timing;
    const times = [headReadAtMs, connectedAtMs!, responseHeadAtMs!, endedAtMs!];
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });
});
