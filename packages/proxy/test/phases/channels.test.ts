import { connectionChannels, observe, upstreamChannels } from "@sluice/core";
import { EventLog } from "@sluice/core/testing";
import { HttpPeer, ProxyError, proxyChannels, type Session } from "@sluice/proxy";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { OK, refusedAddress } from "../support/origin.ts";
import { gate, get, type TestApp } from "../support/proxy.ts";
import { answerOf } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ answering, startOrigin, startProxy, peerOf }) => {
  let log: EventLog;

  beforeEach(() => {
    log = new EventLog(...Object.values(proxyChannels));
  });

  afterEach(() => log[Symbol.dispose]());

  /** One request, told to its end. */
  async function exchange(app: TestApp<object>, path = "/"): Promise<void> {
    await using proxy = await startProxy(app);
    const client = await proxy.send(get(path));
    await client.message();
    await log.next("request-end");
  }

  test("names and payloads are a promise", async () => {
    expect(Object.values(proxyChannels).map(({ name }) => name)).toEqual([
      "sluice:proxy:request-start",
      "sluice:proxy:request-attempt",
      "sluice:proxy:request-response",
      "sluice:proxy:attempt-failed",
      "sluice:proxy:request-end",
      "sluice:proxy:hook-error",
    ]);
    await using origin = await answering(OK);
    const peer = peerOf(origin.address);
    const ctx = { mine: true };
    const boom = new Error("boom");
    let session: Session | undefined;
    let error: ProxyError | undefined;
    await exchange({
      newCtx: () => ctx,
      upstreamPeer: (own) => {
        session = own;
        return peer;
      },
      upstreamResponseFilter() {
        throw boom;
      },
      logging: (_session, failure) => void (error = failure),
    });

    const key = { session, ctx };
    const thrown = expect.objectContaining({ type: "InternalError", source: "internal" }) as unknown;
    const expected = {
      "sluice:proxy:request-start": { ...key },
      "sluice:proxy:request-attempt": { ...key, peer, tries: 1 },
      "sluice:proxy:request-response": { ...key, peer, response: expect.objectContaining({ status: 200 }) as unknown },
      "sluice:proxy:hook-error": { ...key, phase: "upstreamResponseFilter", error: thrown, thrown: boom },
      "sluice:proxy:attempt-failed": { ...key, peer, tries: 1, error, retried: false },
      "sluice:proxy:request-end": { ...key, error, outcome: session!.outcome, timing: session!.timing },
    };
    expect(error).toBeDefined();
    expect(log.events.map(({ channel }) => channel)).toEqual(Object.keys(expected));
    expect(log.events.map(({ message }) => message)).toStrictEqual(Object.values(expected));
    expect(log.events.every(({ message }) => message["session"] === session && message["ctx"] === ctx)).toBe(true);
  });

  test("without listeners nothing is published", async () => {
    log[Symbol.dispose]();
    const publish = Object.values(proxyChannels).map((channel) => vi.spyOn(channel, "publish"));
    await using origin = await startOrigin(async (connection) => {
      await connection.message();
      if (connection.index > 0) connection.send(OK);
      else connection.close();
    });
    await using proxy = await startProxy({
      origin,
      errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      logging() {
        throw new Error("boom");
      },
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(200);
    await proxy.whenFinished();
    for (const each of publish) expect(each).not.toHaveBeenCalled();
    vi.restoreAllMocks();
  });

  describe("the order of what is told", () => {
    test("of a request that is served on a new connection, and of one on the same", async () => {
      const all = new EventLog(...[connectionChannels, upstreamChannels, proxyChannels].flatMap(Object.values));
      await using origin = await answering("HTTP/1.1 103 Early Hints\r\n\r\n", OK);
      {
        await using proxy = await startProxy({ origin });
        const client = await proxy.send(get());
        await client.upTo("ok");
        client.send(get());
        await client.upTo("ok");
        client.end();
        await all.next("connection:closed");
      }
      // Those of other tests may close late.
      let closed = 0;
      while ((await all.next("upstream:closed", ++closed))["address"] !== origin.address);
      all[Symbol.dispose]();
      const mine = all.events.filter(({ message }) => (message["address"] ?? origin.address) === origin.address);
      expect(mine.map(({ channel }) => channel.replace("sluice:", ""))).toEqual([
        "connection:accepted",
        "proxy:request-start",
        "proxy:request-attempt",
        "upstream:connect-start",
        "upstream:connected",
        "proxy:request-response",
        "upstream:pooled",
        "proxy:request-end",
        "proxy:request-start",
        "proxy:request-attempt",
        "upstream:connected",
        "proxy:request-response",
        "upstream:pooled",
        "proxy:request-end",
        "connection:closed",
        "upstream:closed",
      ]);
      const [accepted] = all.messages("accepted");
      for (const { session } of all.messages("request-end") as { session: Session }[]) {
        expect(session.digest).toBe(accepted!["digest"]);
      }
    });

    test("of a request that is sent again", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        if (connection.index > 0) connection.send(OK);
        else connection.close();
      });
      await exchange({ origin, errorWhileProxy: (_peer, _session, error) => error.setRetry(true) });
      expect(log.names).toEqual([
        "request-start",
        "request-attempt",
        "attempt-failed",
        "request-attempt",
        "request-response",
        "request-end",
      ]);
      const failed = { tries: 1, retried: true, error: { type: "ConnectionClosed", source: "upstream" } };
      expect(log.messages("attempt-failed")).toMatchObject([failed]);
      expect(log.messages("request-attempt")).toMatchObject([{ tries: 1 }, { tries: 2 }]);
      expect(log.messages("request-end")).toMatchObject([{ error: undefined, outcome: { status: 200 } }]);
    });

    test("of a request whose upstream cannot be had", async () => {
      await exchange({ origin: { address: await refusedAddress() } });
      expect(log.names).toEqual(["request-start", "request-attempt", "attempt-failed", "request-end"]);
      const [failed] = log.messages("attempt-failed");
      expect(failed).toMatchObject({ tries: 1, retried: false, error: { type: "ConnectRefused" } });
      expect(failed!["peer"]).toBeInstanceOf(HttpPeer);
      const [end] = log.messages("request-end");
      expect(end).toMatchObject({ outcome: { status: 502, how: "complete" } });
      expect(end!["error"]).toBe(failed!["error"]);
    });

    test("of a request that gets no peer", async () => {
      await exchange({
        upstreamPeer() {
          throw new ProxyError("NoPeer");
        },
      });
      expect(log.names).toEqual(["request-start", "attempt-failed", "request-end"]);
      expect(log.messages("attempt-failed")).toMatchObject([{ peer: undefined, tries: 1, error: { type: "NoPeer" } }]);
    });

    test("of one whose second attempt gets no peer", async () => {
      const address = await refusedAddress();
      await exchange({
        upstreamPeer(session) {
          if (session.tries > 1) throw new ProxyError("NoPeer");
          return new HttpPeer(address);
        },
        failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true),
      });
      expect(log.names).toEqual([
        "request-start",
        "request-attempt",
        "attempt-failed",
        "attempt-failed",
        "request-end",
      ]);
      const [first, second] = log.messages("attempt-failed");
      expect(first).toMatchObject({ peer: { address: { text: address } }, retried: true });
      expect(second).toMatchObject({ peer: undefined, tries: 2, retried: false });
    });

    test("of a request that a filter answers, or declines", async () => {
      await exchange({ requestFilter: (session) => session.respond(403) });
      expect(log.names).toEqual(["request-start", "request-end"]);
      expect(log.messages("request-end")).toMatchObject([{ error: undefined, outcome: { status: 403 } }]);
    });

    test("of a request whose client leaves", async () => {
      await using origin = await startOrigin((connection) => connection.message());
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await (await origin.connection()).upTo("\r\n\r\n");
      client.close();
      await log.next("request-end");
      expect(log.names).toEqual(["request-start", "request-attempt", "attempt-failed", "request-end"]);
      expect(log.messages("attempt-failed")).toMatchObject([{ error: { source: "downstream" }, retried: false }]);
      expect(log.messages("request-end")).toMatchObject([{ outcome: { status: 499, how: "client-left" } }]);
    });

    test("of a request whose logging takes its time, and fails: the end comes last", async () => {
      await using origin = await answering(OK);
      const inside = gate();
      const { opened, open } = gate();
      const boom = new Error("boom");
      await using proxy = await startProxy({
        origin,
        async logging() {
          inside.open();
          await opened;
          throw boom;
        },
      });
      const client = await proxy.send(get());
      await client.message();
      await inside.opened;
      expect(log.names).toEqual(["request-start", "request-attempt", "request-response"]);
      open();
      await log.next("request-end");
      expect(log.names.slice(3)).toEqual(["hook-error", "request-end"]);
      expect(log.messages("hook-error")).toMatchObject([{ phase: "logging", thrown: boom }]);
      // The request itself did not fail.
      expect(log.messages("request-end")).toMatchObject([{ error: undefined, outcome: { status: 200 } }]);
    });

    test("of a request without a context", async () => {
      await using proxy = await startProxy({
        newCtx() {
          throw new Error("boom");
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(500);
      await log.next("request-end");
      expect(log.names).toEqual(["request-start", "hook-error", "request-end"]);
      expect(log.events.map(({ message }) => message["ctx"])).toEqual([undefined, undefined, undefined]);
      expect(log.messages("request-end")).toMatchObject([
        { error: { type: "InternalError" }, outcome: { status: 500 } },
      ]);
    });

    test("of a subrequest: it lies within that of its parent", async () => {
      await using origin = await answering(OK);
      await exchange({
        origin,
        allowSpawningSubrequest: () => true,
        async requestFilter(session) {
          if (!session.isSubrequest) await answerOf(session.subrequests!.create({ target: "/sub" }));
        },
      });
      await log.next("request-end", 2);
      const order = log.events.map(({ channel, message }) => {
        const { isSubrequest } = message["session"] as Session;
        return `${isSubrequest ? "sub " : ""}${channel.split(":")[2]}`;
      });
      expect(order).toEqual([
        "request-start",
        "sub request-start",
        "sub request-attempt",
        "sub request-response",
        "sub request-end",
        "request-attempt",
        "request-response",
        "request-end",
      ]);
    });
  });

  test("the head that is told is the upstream's, before any hook has seen it", async () => {
    await using origin = await answering(
      "HTTP/1.1 200 OK\r\nX-By: origin\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
    );
    const told: unknown[] = [];
    const stop = observe(proxyChannels.requestResponse, ({ response }) => {
      told.push(response.get("x-by"), response.get("keep-alive"), response.status);
    });
    await exchange({
      origin,
      upstreamResponseFilter: (_session, response) => {
        response.set("X-By", "filter");
        response.status = 203;
      },
    });
    stop();
    expect(told).toEqual(["origin", undefined, 200]);
  });

  test("a listener that fails disturbs no request", async () => {
    await using origin = await answering(OK);
    const stops = Object.values(proxyChannels).map((channel) =>
      observe<unknown>(channel, () => {
        throw new Error("no room");
      }),
    );
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get());
    expect((await client.message()).body.toString()).toBe("ok");
    await log.next("request-end");
    for (const stop of stops) stop();
    expect(proxy.errors).toHaveLength(4);
    expect(proxy.errors[0]).toMatchObject({ channel: "sluice:proxy:request-start", err: { message: "no room" } });
  });
});
