import { gzipSync } from "node:zlib";
import { responseCompression } from "../../packages/core/src/index.ts";
import type { ProxyHttp, Session } from "../../packages/proxy/src/index.ts";
import { describe, expect, test } from "vitest";
import type { TestApp } from "../../packages/proxy/test/support/proxy.ts";
import { LEGS } from "./legs.ts";
import { line } from "./line.ts";
import { CUT } from "./matrix-client.ts";

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

  test("a filter answers instead of an origin", async () => {
    const app: TestApp<object> = {
      requestFilter: (session) => session.respond(403, { fields: { "X-Why": "secret" }, body: "no" }),
    };
    await using on = await line(leg, undefined, app);
    const { status, fields, body } = await on.client.get("/");
    expect([status, fields["x-why"], String(body), on.visits.length]).toEqual([403, "secret", "no", 0]);
    expect((await on.client.get("/")).status).toBe(403);
  });

  test("a filter answers a request whose body nobody reads, and the next one is served", async () => {
    const app: TestApp<object> = { requestFilter: (session) => session.respond(401) };
    await using on = await line(leg, undefined, app);
    for (let n = 0; n < 3; n++) {
      expect((await on.client.ask({ method: "POST", body: Buffer.alloc(30_000) }).answered).status).toBe(401);
    }
  });

  test("filters edit what goes up and what comes down", async () => {
    const app: TestApp<object> = {
      upstreamRequestFilter(_session, outgoing) {
        outgoing.set("Host", "inside.test");
        outgoing.set("X-Added", "up");
        outgoing.remove("x-secret");
        outgoing.target = "/elsewhere?x=1";
      },
      responseFilter(_session, response) {
        response.set("X-Added", "down");
        response.remove("server");
        response.status = 202;
      },
    };
    await using on = await line(leg, (visit) => visit.answer(200, { server: "origin" }, "body"), app);
    const { status, fields } = await on.client.get("/", { "X-Secret": "1" });
    const { url, fields: seen } = on.visits[0]!.seen;
    expect([url, seen["host"], seen["x-added"], seen["x-secret"]]).toEqual([
      "/elsewhere?x=1",
      "inside.test",
      "up",
      undefined,
    ]);
    expect([status, fields["x-added"], fields["server"]]).toEqual([202, "down", undefined]);
  });

  test("body filters change bodies both ways", async () => {
    const upper = (piece: Uint8Array | undefined): Uint8Array | undefined =>
      piece === undefined ? undefined : Buffer.from(Buffer.from(piece).toString("latin1").toUpperCase());
    const app: TestApp<object> = {
      requestBodyFilter: (_session, piece) => upper(piece),
      responseBodyFilter: (_session, piece, end) => (end ? Buffer.from("!") : piece),
      responseFilter: (_session, response) => void response.remove("content-length"),
    };
    await using on = await line(leg, async (visit) => visit.answer(200, {}, (await visit.body()).body), app);
    const { body } = await on.client.ask({ method: "POST", body: "shout" }).answered;
    expect(String(body)).toBe("SHOUT!");
  });

  test("trailer filters edit trailers both ways", async () => {
    const app: TestApp<object> = {
      requestTrailerFilter: (_session, trailers) => void trailers.set("x-up", "edited"),
      responseTrailerFilter: (_session, trailers) => void trailers.set("x-down", "edited"),
    };
    await using on = await line(
      leg,
      async (visit) => {
        const { trailers } = await visit.body();
        visit.response.writeHead(200, { trailer: "x-down", "x-saw": trailers["x-up"] ?? "" });
        visit.response.write("body");
        visit.response.addTrailers({ "x-down": "given" });
        visit.response.end();
      },
      app,
    );
    const { fields, trailers } = await on.client.ask({
      method: "POST",
      fields: { TE: "trailers", Trailer: "x-up" },
      stream: async (write, end) => {
        await write("body");
        end({ "x-up": "given" });
      },
    }).answered;
    expect([fields["x-saw"], trailers["x-down"]]).toEqual(["edited", "edited"]);
  });

  test("a body that was read before the upstream was chosen goes up whole", async () => {
    const read: string[] = [];
    const app: TestApp<object> = {
      requestFilter: async (session) =>
        void read.push(String(await session.readRequestBody({ maxBytes: 1000, timeoutMs: 5000 }))),
    };
    await using on = await line(leg, async (visit) => visit.answer(200, {}, (await visit.body()).body), app);
    const { body } = await on.client.ask({ method: "POST", body: "decide by me" }).answered;
    expect([read, String(body)]).toEqual([["decide by me"], "decide by me"]);
  });

  test("a response is compressed as the client asks", async () => {
    const app: TestApp<object> = {
      initDownstreamModules: (modules) => void modules.add(responseCompression({ level: 6 })),
    };
    const text = "all work and no play ".repeat(500);
    await using on = await line(leg, (visit) => visit.answer(200, { "content-type": "text/plain" }, text), app);
    const { fields, body } = await on.client.get("/", { "Accept-Encoding": "gzip" });
    expect([fields["content-encoding"], fields["vary"]]).toEqual(["gzip", "accept-encoding"]);
    expect(body.length).toBeLessThan(gzipSync(text).length * 2);
  });

  const throwing: [hook: keyof ProxyHttp<object>, status: number][] = [
    ["earlyRequestFilter", 500],
    ["requestFilter", 500],
    ["upstreamPeer", 500],
    ["connectedToUpstream", 500],
    ["upstreamRequestFilter", 500],
    ["requestBodyFilter", 500],
    ["upstreamResponseFilter", 500],
    ["responseFilter", 500],
  ];
  test.for(throwing)("%s that throws is answered with %i, and all else goes on", async ([hook, status]) => {
    let broken = true;
    const app: TestApp<object> = {
      [hook]: () => {
        if (broken) throw new Error("a bug");
      },
    };
    await using on = await line(leg, async (visit) => visit.answer(200, {}, (await visit.body()).body), app);
    if (hook === "upstreamPeer")
      Object.assign(on.proxy.service.proxy.app, { upstreamPeer: thrower(on.origin.peer, () => broken) });
    const { answered } = on.client.ask({ method: "POST", body: "x" });
    expect((await answered).status).toBe(status);
    broken = false;
    expect((await on.client.ask({ method: "POST", body: "fine" }).answered).status).toBe(200);
    expect(on.proxy.errors).toHaveLength(1);
    expect(on.proxy.errors[0]).toMatchObject({ phase: hook });
  });

  test("a body filter that throws in the middle of an answer cuts it", async () => {
    const app: TestApp<object> = {
      responseBodyFilter: (_session, piece) => {
        if (piece !== undefined) throw new Error("a bug");
      },
    };
    await using on = await line(leg, (visit) => visit.answer(200, {}, "hello"), app);
    await expect(on.client.get("/")).rejects.toThrow(CUT);
    const { error } = await on.proxy.whenFinished();
    expect(error?.source).toBe("internal");
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

function thrower<Peer>(peer: Peer, broken: () => boolean): () => Peer {
  return () => {
    if (broken()) throw new Error("a bug");
    return peer;
  };
}
