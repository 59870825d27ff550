import { setImmediate } from "node:timers/promises";
import { connectSocket } from "@sluice/core";
import { HttpPeer, pipeSubrequest, type Session } from "@sluice/proxy";
import { afterEach, describe, expect, test, vi } from "vitest";
import { OK, type Origin, refusedAddress } from "../support/origin.ts";
import { gate, get, type TestApp, type TestProxy } from "../support/proxy.ts";
import { answerOf } from "../support/subrequests.ts";
import type { Wire } from "../support/wire.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, closing, answering, startOrigin, startProxy, peerOf }) => {
  afterEach(() => void vi.useRealTimers());

  /** A request that is in the middle of something. */
  interface InFlight extends AsyncDisposable {
    readonly proxy: TestProxy<object>;
    readonly client: Wire;
    readonly session: Session;
    /** Lets the request come to its end, and resolves with what its client still gets. */
    readonly finish: () => Promise<string>;
  }

  interface Stage {
    readonly name: string;
    readonly start: () => Promise<InFlight>;
    /** What the client gets in the end, if the request may come to it. */
    readonly gets: string;
    /** How the request is counted when it is cut. */
    readonly cut: { readonly status: number; readonly sent: number; readonly how: "cut" | "not-sent" };
  }

  const NOTHING = { status: 0, sent: 0, how: "not-sent" } as const;
  const CLOSING = `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${leg.downstream === 1 ? "Connection: close\r\n" : ""}`;

  /** Starts a proxy, sends the request, and waits for `reached`. */
  async function inFlight(
    app: TestApp<object>,
    request: string,
    origin: Origin | undefined,
    stage: { reached: (client: Wire) => Promise<unknown>; finish: (client: Wire) => Promise<string> },
  ): Promise<InFlight> {
    let session: Session | undefined;
    const proxy = await startProxy({
      ...app,
      earlyRequestFilter: (own) => void (session = own),
      ...(origin !== undefined && { origin }),
    });
    const client = await proxy.send(request);
    await stage.reached(client);
    return {
      proxy,
      client,
      session: session!,
      finish: () => stage.finish(client),
      async [Symbol.asyncDispose]() {
        await proxy[Symbol.asyncDispose]();
        await origin?.[Symbol.asyncDispose]();
      },
    };
  }

  /** To its end, which a client answers with its own. */
  async function toEnd(client: Wire): Promise<string> {
    const rest = await client.rest();
    client.end();
    return rest.toString();
  }

  /** A request whose hook waits. */
  async function inHook(hook: "requestFilter" | "upstreamResponseFilter" | "logging"): Promise<InFlight> {
    const inside = gate();
    const { opened, open } = gate();
    const wait = (): Promise<void> => {
      inside.open();
      return opened;
    };
    return inFlight({ [hook]: wait }, get(), await answering(OK), {
      reached: () => inside.opened,
      finish: (client) => (open(), toEnd(client)),
    });
  }

  const stages: Stage[] = [
    {
      name: "in a slow requestFilter",
      gets: `${CLOSING}\r\nok`,
      cut: NOTHING,
      start: () => inHook("requestFilter"),
    },
    {
      name: "in a slow upstreamResponseFilter",
      gets: `${CLOSING}\r\nok`,
      cut: NOTHING,
      start: () => inHook("upstreamResponseFilter"),
    },
    {
      name: "while it is connecting",
      gets: `${CLOSING}\r\nok`,
      cut: NOTHING,
      async start() {
        const origin = await answering(OK);
        const inside = gate();
        const { opened, open } = gate();
        const peer = peerOf(origin.address, {
          async connectStream({ address }, signal) {
            inside.open();
            await opened;
            return connectSocket(address, {}, signal);
          },
        });
        return inFlight({ upstreamPeer: () => peer }, get(), origin, {
          reached: () => inside.opened,
          finish: (client) => (open(), toEnd(client)),
        });
      },
    },
    {
      name: "between two attempts",
      gets: `${CLOSING}\r\nok`,
      cut: NOTHING,
      async start() {
        const origin = await answering(OK);
        const inside = gate();
        const { opened, open } = gate();
        const peers = [new HttpPeer(await refusedAddress()), peerOf(origin.address)];
        const app: TestApp<object> = {
          async upstreamPeer({ tries }) {
            if (tries > 1) {
              inside.open();
              await opened;
            }
            return peers[tries - 1]!;
          },
          failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true),
        };
        return inFlight(app, get(), origin, {
          reached: () => inside.opened,
          finish: (client) => (open(), toEnd(client)),
        });
      },
    },
    {
      name: "in its upload",
      gets: `${CLOSING}\r\nok`,
      cut: NOTHING,
      async start() {
        const half = gate();
        const origin = await startOrigin(async (connection) => {
          await connection.upTo("half");
          half.open();
          await connection.upTo("full");
          connection.send(OK);
        });
        return inFlight({}, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf", origin, {
          reached: () => half.opened,
          finish: (client) => toEnd(client.send("full")),
        });
      },
    },
    {
      // Its head has gone down, and says nothing of an end.
      name: "in its download",
      gets: "full",
      cut: { status: 200, sent: 4, how: "cut" },
      async start() {
        const { opened, open } = gate();
        const origin = await startOrigin(async (connection) => {
          await connection.message();
          connection.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
          await opened;
          connection.send("full");
        });
        return inFlight({}, get(), origin, {
          reached: (client) => client.upTo("half"),
          finish: (client) => (open(), toEnd(client)),
        });
      },
    },
    {
      name: "in a tunnel",
      gets: "bye",
      cut: { status: 101, sent: 5, how: "cut" },
      async start() {
        const origin = await startOrigin(async (connection) => {
          await connection.upTo("\r\n\r\n");
          connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello");
          await connection.upTo("bye");
          connection.send("bye").end();
        });
        return inFlight({}, get("/", "Connection: upgrade\r\nUpgrade: x\r\n"), origin, {
          reached: (client) => client.upTo("hello"),
          finish: (client) => toEnd(client.send("bye")),
        });
      },
    },
    {
      name: "in the delay of a body filter",
      gets: "ok",
      cut: { status: 200, sent: 0, how: "cut" },
      async start() {
        vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
        return inFlight(
          { responseBodyFilter: (_session, piece) => (piece === undefined ? undefined : { delayMs: 1000 }) },
          get(),
          await answering(OK),
          {
            reached: (client) => client.upTo("\r\n\r\n"),
            // Its head did not say close: the connection would wait for another request.
            async finish(client) {
              vi.advanceTimersByTime(1000);
              const rest = await client.upTo("ok");
              client.end();
              return rest;
            },
          },
        );
      },
    },
  ];

  /** Tells the service to stop, and waits until it has told the request. */
  async function stop({ proxy, session }: InFlight): Promise<{ stopped: Promise<void>; force: AbortController }> {
    const force = new AbortController();
    const stopped = proxy.service.stop(force.signal);
    while (session.downstream.shuttingDown !== true) await setImmediate();
    return { stopped, force };
  }

  // Tunnels through HTTP/2 are made by CONNECT (RFC 8441).
  const ofLeg = stages.filter(({ name }) => name !== "in a tunnel" || (leg.downstream === 1 && leg.upstream === 1));

  describe.each(ofLeg)("a request $name", ({ start, gets, cut }) => {
    test("has its time to end, which the service waits for", async () => {
      await using request = await start();
      const { proxy, session, finish } = request;
      expect(session.shuttingDown).toBe(false);
      let over = false;
      const { stopped } = await stop(request);
      void stopped.then(() => (over = true));
      expect([session.shuttingDown, over, proxy.finished.length]).toEqual([true, false, 0]);
      const rest = await finish();
      // A name that came through HTTP/2 has no capitals.
      expect(rest.replace(/Date: [^\r]*\r\n/, "").toLowerCase()).toBe(gets.toLowerCase());
      await stopped;
      expect((await proxy.whenFinished()).error).toBeUndefined();
      expect(session.outcome.how).toBe("complete");
      expect([proxy.service.connectionCount, proxy.pool.idleCount]).toEqual([0, 0]);
    });

    test("is cut when that time is over, told to logging once, and never looks complete", async () => {
      await using request = await start();
      const { proxy, session, client } = request;
      const { stopped, force } = await stop(request);
      force.abort();
      await stopped;
      const rest = (await client.rest()).toString();
      expect(rest).not.toContain("ok");
      expect([client.receivedBytes > 0, client.ended || client.closed]).toEqual([cut.how === "cut", true]);
      const { error } = await proxy.whenFinished();
      expect(error).toMatchObject({ source: "downstream", type: "ConnectionClosed", detail: "server-stop" });
      expect(session.outcome).toEqual(cut);
      expect(proxy.errors).toMatchObject([
        {
          level: 50,
          error: expect.stringContaining("the server stops") as string,
          hint: expect.stringContaining("grace_period_seconds") as string,
        },
      ]);
      expect(proxy.finished).toHaveLength(1);
      expect([proxy.service.connectionCount, proxy.pool.idleCount]).toEqual([0, 0]);
    });
  });

  test("a request in a slow logging hook is over for its client, and the service waits for it all the same", async () => {
    await using request = await inHook("logging");
    const { proxy, session, client, finish } = request;
    expect((await client.message()).body.toString()).toBe("ok");
    const { stopped } = await stop(request);
    let over = false;
    void stopped.then(() => (over = true));
    await setImmediate();
    expect([over, session.outcome.how]).toEqual([false, "complete"]);
    expect(await finish()).toBe("");
    await stopped;
    expect(proxy.finished).toHaveLength(1);
  });

  test("a request that comes on an open connection when the service stops is served, and its hooks know", async () => {
    await using origin = await answering(OK);
    const seen: boolean[] = [];
    await using proxy = await startProxy({
      origin,
      requestFilter: (session) => void seen.push(session.shuttingDown),
      logging: (session) => void seen.push(session.shuttingDown),
    });
    const client = await proxy.send(get());
    expect((await client.message()).field("connection")).toBeUndefined();
    const stopped = proxy.service.stop(new AbortController().signal);
    let answer;
    // Connections are told when no other waits to be accepted, which takes some turns to know.
    do {
      client.send(get());
      answer = await client.message();
    } while (answer.status === 200 && answer.field("connection") !== closing);
    expect([answer.status, answer.field("connection")]).toEqual([200, closing]);
    expect((await toEnd(client)).length).toBe(0);
    await stopped;
    const [filtered, logged, ...later] = seen;
    expect([filtered, logged]).toEqual([false, false]);
    expect(later).toEqual(later.map(() => true));
  });

  test.each(["piped", "read"])(
    "a subrequest (%s) of a request that is cut is counted as it is: nobody left",
    async (how) => {
      await using origin = await answering(OK);
      const inside = gate();
      await using proxy = await startProxy({
        origin,
        allowSpawningSubrequest: () => true,
        async requestFilter(session) {
          if (session.isSubrequest) {
            inside.open();
            return gate().opened as Promise<never>;
          }
          const prepared = session.subrequests!.create({ target: "/sub" });
          if (how === "piped") return (await pipeSubrequest(session, prepared)).responded;
          await answerOf(prepared);
          return undefined;
        },
      });
      await proxy.send(get());
      await inside.opened;
      await proxy.service.stop(AbortSignal.abort());
      await proxy.whenFinished(2);
      expect(proxy.finished.map(({ session }) => session.outcome)).toEqual([NOTHING, NOTHING]);
    },
  );

  test("a subrequest knows, too", async () => {
    await using origin = await answering(OK);
    const seen: string[] = [];
    const inside = gate();
    const { opened, open } = gate();
    await using proxy = await startProxy({
      origin,
      allowSpawningSubrequest: () => true,
      async requestFilter(session) {
        if (session.isSubrequest) {
          seen.push(`sub ${session.shuttingDown}`);
          return;
        }
        inside.open();
        await opened;
        await answerOf(session.subrequests!.create({ target: "/sub" }));
        seen.push(`main ${session.shuttingDown}`);
      },
    });
    const client = await proxy.send(get());
    await inside.opened;
    const stopped = proxy.service.stop(new AbortController().signal);
    open();
    expect((await client.message()).status).toBe(200);
    await toEnd(client);
    await stopped;
    expect(seen).toEqual(["sub true", "main true"]);
  });
});
