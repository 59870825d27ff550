import { describe, expect, test } from "vitest";
import { answering, OK, Origin, refusedAddress } from "../support/origin.ts";
import { get, startProxy, type TestApp } from "../support/proxy.ts";

interface Ctx {
  /** What `onConnectionReuse` was told; `undefined` if it was not called. */
  previous: unknown;
}

/** Leaves the target of each request for the next. */
function chain(seen: unknown[]): TestApp<Ctx> {
  return {
    newCtx: () => ({ previous: undefined }),
    onConnectionReuse(session, ctx, previous) {
      expect(session.phase).toBe("onConnectionReuse");
      ctx.previous = previous;
    },
    earlyRequestFilter: (session, ctx) => void seen.push([session.request.target, ctx.previous]),
    persistConnectionContext: (session) => session.request.target,
  };
}

describe("what a request leaves on its connection", () => {
  test("is told to the next, and to that alone", async () => {
    await using origin = await answering(OK);
    const seen: unknown[] = [];
    await using proxy = await startProxy({
      origin,
      ...chain(seen),
      persistConnectionContext: ({ request }) => (request.target === "/2" ? undefined : request.target),
    });
    const client = await proxy.connect();
    for (const target of ["/1", "/2", "/3", "/4"]) {
      client.send(get(target));
      await client.message();
    }
    const other = await proxy.send(get("/other"));
    await other.message();
    expect(seen).toEqual([
      ["/1", undefined],
      ["/2", "/1"],
      ["/3", undefined],
      ["/4", "/3"],
      ["/other", undefined],
    ]);
  });

  test("is told to pipelined requests, too", async () => {
    await using origin = await answering(OK);
    const seen: unknown[] = [];
    await using proxy = await startProxy({ origin, ...chain(seen) });
    const client = await proxy.send(get("/1"), get("/2"));
    await client.message();
    await client.message();
    expect(seen).toEqual([
      ["/1", undefined],
      ["/2", "/1"],
    ]);
  });

  test("is also that of requests which a filter answered, and of failures that leave the connection open", async () => {
    const seen: unknown[] = [];
    await using proxy = await startProxy({
      origin: { address: await refusedAddress() },
      ...chain(seen),
      requestFilter: (session) => (session.request.target === "/1" ? session.respond(204) : undefined),
      failToProxy(session) {
        session.respond(502);
        return 502;
      },
    });
    const client = await proxy.connect();
    for (const target of ["/1", "/2", "/3"]) {
      client.send(get(target));
      await client.message();
    }
    expect(seen.slice(1)).toEqual([
      ["/2", "/1"],
      ["/3", "/2"],
    ]);
  });

  test.each([
    ["the client wants it closed", get("/", "Connection: close\r\n"), 200],
    ["its body was not read", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n", 403],
    ["it could not be read", "nonsense\r\n\r\n", 400],
  ])("is not asked for when %s", async (_why, request, status) => {
    await using origin = await answering(OK);
    let asked = 0;
    await using proxy = await startProxy({
      origin,
      requestFilter: (session) => (session.request.method === "POST" ? session.respond(403) : undefined),
      persistConnectionContext: () => asked++,
    });
    const client = await proxy.send(request);
    expect((await client.message()).status).toBe(status);
    await client.whenEnded();
    await proxy.whenFinished();
    expect(asked).toBe(0);
  });

  test("is not asked for when the client has left", async () => {
    await using origin = await Origin.start((connection) => connection.message());
    let asked = 0;
    await using proxy = await startProxy({ origin, persistConnectionContext: () => asked++ });
    const client = await proxy.send(get());
    await (await origin.connection()).upTo("\r\n\r\n");
    client.close();
    await proxy.whenFinished();
    await expect.poll(() => proxy.service.connectionCount, { interval: 5 }).toBe(0);
    expect(asked).toBe(0);
  });

  test("is dropped when the next request cannot be read", async () => {
    await using origin = await answering(OK);
    let told = 0;
    await using proxy = await startProxy({
      origin,
      onConnectionReuse: () => void told++,
      persistConnectionContext: () => "something",
    });
    const client = await proxy.send(get(), "nonsense\r\n\r\n");
    expect([(await client.message()).status, (await client.message()).status]).toEqual([200, 400]);
    await proxy.whenFinished(2);
    expect(told).toBe(0);
  });
});

describe("a hook that fails", () => {
  test.each<[string, () => unknown, string]>([
    [
      "throws",
      () => {
        throw new Error("boom");
      },
      "boom",
    ],
    ["gives a promise", async () => "late", "persistConnectionContext must return its result, not a promise"],
    ["gives a promise that rejects", () => Promise.reject(new Error("late")), "not a promise"],
  ])("persistConnectionContext that %s is logged; the connection goes on, without", async (_what, persist, message) => {
    await using origin = await answering(OK);
    const seen: unknown[] = [];
    await using proxy = await startProxy({ origin, ...chain(seen), persistConnectionContext: persist });
    const client = await proxy.send(get("/1"));
    await client.message();
    client.send(get("/2"));
    expect((await client.message()).status).toBe(200);
    expect(seen).toEqual([
      ["/1", undefined],
      ["/2", undefined],
    ]);
    expect(proxy.errors[0]).toMatchObject({
      phase: "persistConnectionContext",
      error: expect.stringContaining(message),
    });
  });

  test.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("boom");
      },
    ],
    ["gives a promise", async () => undefined],
  ])("onConnectionReuse that %s fails its request", async (_what, onConnectionReuse) => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({
      origin,
      onConnectionReuse: onConnectionReuse as never,
      persistConnectionContext: () => "something",
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(200);
    client.send(get());
    expect((await client.message()).status).toBe(500);
    await proxy.whenFinished(2);
    expect(proxy.errors).toMatchObject([{ phase: "onConnectionReuse" }]);
  });
});
