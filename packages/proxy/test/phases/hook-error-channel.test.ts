import { setImmediate } from "node:timers/promises";
import { Server, type HttpModule, type HttpModules } from "@sluice/core";
import { EventLog } from "@sluice/core/testing";
import {
  HttpPeer,
  httpProxy,
  ProxyError,
  proxyChannels,
  ResponseHeader,
  type ProxyHttp,
  type Session,
} from "@sluice/proxy";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { OK, type Origin, refusedAddress } from "../support/origin.ts";
import { gate, get, type TestApp, type TestProxy } from "../support/proxy.ts";
import type { Wire } from "../support/wire.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, answering, startOrigin, startProxy }) => {
  type Hook = keyof ProxyHttp<object>;

  const boom = new Error("boom");
  const CHUNKED = "Transfer-Encoding: chunked\r\n";
  const POST = `POST / HTTP/1.1\r\nHost: test\r\n${CHUNKED}\r\n2\r\nhi\r\n0\r\nX-End: 1\r\n\r\n`;
  const WITH_TRAILERS = `HTTP/1.1 200 OK\r\n${CHUNKED}\r\n2\r\nok\r\n0\r\nX-End: 1\r\n\r\n`;

  let log: EventLog;

  beforeEach(() => {
    log = new EventLog(proxyChannels.hookError, proxyChannels.requestEnd);
  });

  afterEach(() => log[Symbol.dispose]());

  /** Sends a request with body and trailers, twice on one connection if it stays open, and waits for the end. */
  async function run(app: TestApp<object>, times = 1): Promise<TestProxy<object>> {
    await using proxy = await startProxy(app);
    const client = await proxy.connect();
    for (let count = 1; count <= times; count++) {
      client.send(POST);
      await client.message().catch(() => undefined);
      await log.next("request-end", count);
    }
    return proxy;
  }

  /** An origin that closes instead of answering. */
  function closing(): Promise<Origin> {
    return startOrigin(async (connection) => {
      await connection.message();
      connection.close();
    });
  }

  /** A stream of HTTP/2 has no next request. */
  const PERSISTING: Hook[] = leg.downstream === 1 ? ["persistConnectionContext"] : [];

  describe("what a hook throws is told once, with the name of the hook", () => {
    const waits: Hook[] = [
      "earlyRequestFilter",
      "requestFilter",
      "proxyUpstreamFilter",
      "upstreamPeer",
      "connectedToUpstream",
      "upstreamRequestFilter",
      "requestBodyFilter",
      "requestTrailerFilter",
      "adjustUpstreamModules",
      "upstreamResponseFilter",
      "responseFilter",
      "responseTrailerFilter",
      "logging",
    ];
    const atOnce: Hook[] = [
      "allowSpawningSubrequest",
      "upstreamResponseBodyFilter",
      "upstreamResponseTrailerFilter",
      "responseBodyFilter",
      ...PERSISTING,
    ];
    const onFailure: Hook[] = ["errorWhileProxy", "failToProxy", "errorPage", "suppressErrorLog", "requestSummary"];

    async function expectTold(hook: Hook, app: TestApp<object>): Promise<void> {
      const proxy = await run(app);
      const { session } = proxy.finished[0]!;
      const told = log.messages("hook-error");
      expect(told).toHaveLength(1);
      expect(told[0]).toMatchObject({ phase: hook, error: { type: "InternalError", source: "internal" } });
      expect([told[0]!["session"] === session, told[0]!["thrown"] === boom]).toEqual([true, true]);
    }

    test.each([...waits, ...atOnce])("%s", async (hook) => {
      await using origin = await answering(WITH_TRAILERS);
      await expectTold(hook, {
        origin,
        [hook]() {
          throw boom;
        },
      });
    });

    test.each(waits)("%s that rejects", async (hook) => {
      await using origin = await answering(WITH_TRAILERS);
      await expectTold(hook, { origin, [hook]: () => setImmediate().then(() => Promise.reject(boom)) });
    });

    test.each(onFailure)("%s", async (hook) => {
      await using origin = await closing();
      await expectTold(hook, {
        origin,
        [hook]() {
          throw boom;
        },
      });
    });

    test("failToConnect", async () => {
      await expectTold("failToConnect", {
        origin: { address: await refusedAddress() },
        failToConnect() {
          throw boom;
        },
      });
    });

    test("also if another hook wraps it", async () => {
      await using origin = await answering(OK);
      await expectTold("upstreamRequestFilter", {
        origin,
        upstreamRequestFilter() {
          throw boom;
        },
        errorWhileProxy: (_peer, _session, error) => ProxyError.internal("InternalError", "wrapped", error),
      });
    });

    test("also if its line in the log is suppressed", async () => {
      await expectTold("requestFilter", {
        requestFilter() {
          throw boom;
        },
        suppressErrorLog: () => true,
      });
    });
  });

  describe("modules", () => {
    class Failing implements HttpModule {
      readonly ignoresResponseBody = false;

      constructor(hook: keyof HttpModule) {
        const fail = (): never => {
          throw boom;
        };
        Object.assign(this, { [hook]: fail });
      }
    }

    test.each([
      ["initDownstreamModules", "requestHeader", "requestModules"],
      ["initDownstreamModules", "requestBody", "requestModules"],
      ["initDownstreamModules", "responseHeader", "responseModules"],
      ["initDownstreamModules", "responseBody", "responseModules"],
      ["initDownstreamModules", "responseDone", "responseModules"],
      ["initUpstreamModules", "responseHeader", "upstreamModules"],
      ["initUpstreamModules", "responseBody", "upstreamModules"],
    ] as const)("of %s: %s", async (init, hook, phase) => {
      await using origin = await answering(WITH_TRAILERS);
      await run({ origin, [init]: (modules: HttpModules) => add(modules, hook) });
      const told = log.messages("hook-error");
      expect(told).toMatchObject([{ phase, error: { context: `module Failing, ${hook}` } }]);
      expect((told[0]!["error"] as ProxyError).cause).toBe(boom);
    });

    function add(modules: HttpModules, hook: keyof HttpModule): void {
      modules.add({ type: Failing, init: () => new Failing(hook) });
    }
  });

  test("a ProxyError is how a hook decides, and no defect, unless it says so", async () => {
    await using origin = await answering(OK);
    const errors = [ProxyError.httpStatus(403), ProxyError.upstream("ReadError"), new ProxyError("NoPeer")];
    for (const error of errors) await run({ origin, requestFilter: () => Promise.reject(error) });
    expect(log.messages("hook-error")).toEqual([]);
    const internal = ProxyError.internal("InternalError", "out of order");
    await run({ origin, requestFilter: () => Promise.reject(internal) });
    expect(log.messages("hook-error")).toMatchObject([{ phase: "requestFilter" }]);
    expect([log.messages("hook-error")[0]!["thrown"], log.messages("hook-error")[0]!["error"]]).toEqual([
      internal,
      internal,
    ]);
  });

  test.for<[what: string, app: TestApp<object>]>([
    ["an upstream that is down", {}],
    ["a peer that needs TLS, which there is not", { upstreamPeer: () => new HttpPeer("127.0.0.1:1", { tls: true }) }],
  ])("%s is no defect of a hook", async ([, app]) => {
    await run({ origin: { address: await refusedAddress() }, ...app });
    expect(log.names).toEqual(["request-end"]);
  });

  test.for<[hook: Hook, filter: unknown, misuse: string]>([
    ["requestFilter", () => true, "returned a value, but did not answer"],
    ["requestFilter", (session: Session) => begin(session), "began an answer and did not finish it"],
    ["upstreamPeer", () => undefined, "upstreamPeer must give an HttpPeer"],
    ["requestBodyFilter", () => "text", "a body filter must return"],
    ["responseBodyFilter", () => ({ delayMs: -1 }), "delayMs must be from 0"],
    ["failToProxy", () => "no", "failToProxy must return the status"],
  ])("a %s that gives what it must not is told", async ([hook, filter, misuse]) => {
    await using origin = await answering(OK);
    await using dead = await closing();
    await run({ origin: hook === "failToProxy" ? dead : origin, [hook]: filter });
    const told = log.messages("hook-error");
    expect(told).toMatchObject([{ phase: hook }]);
    expect(String(told[0]!["thrown"])).toContain(misuse);
  });

  function begin({ downstream }: Session): void {
    downstream.writeHeader(ResponseHeader.build(200), false);
  }

  describe("a promise of a hook that must not give one", () => {
    const rejects = (): Promise<never> => setImmediate().then(() => Promise.reject(boom));
    const hooks: Hook[] = [
      "failToConnect",
      "errorWhileProxy",
      "suppressErrorLog",
      "requestSummary",
      "upstreamResponseBodyFilter",
      "upstreamResponseTrailerFilter",
      "responseBodyFilter",
      ...PERSISTING,
      "allowSpawningSubrequest",
    ];
    test.each(hooks)("%s: it is told that it did, and what the promise fails with", async (hook) => {
      await using good = await answering(WITH_TRAILERS);
      await using dead = await closing();
      const fails = ["errorWhileProxy", "suppressErrorLog", "requestSummary"].includes(hook);
      const refused = hook === "failToConnect" ? { address: await refusedAddress() } : undefined;
      await using proxy = await startProxy({ origin: refused ?? (fails ? dead : good), [hook]: rejects });
      const client = await proxy.send(POST);
      await client.message().catch(() => undefined);
      await log.next("hook-error", 2);
      const told = log.messages("hook-error");
      expect(told).toMatchObject([
        { phase: hook, thrown: { name: "TypeError" } },
        { phase: hook, thrown: boom },
      ]);
      expect(String(told[0]!["thrown"])).toMatch(/must return|promise/);
      expect(proxy.logs).toContainEqual(
        expect.objectContaining({ level: 40, phase: hook, msg: "a hook failed in vain", stack: boom.stack }),
      );
    });
  });

  test("newCtx that gives a promise is told as well", async () => {
    const server = new Server();
    const app: ProxyHttp<object> = {
      newCtx: () => Promise.reject(boom) as never,
      upstreamPeer: () => new HttpPeer("127.0.0.1:1"),
    };
    const service = httpProxy(server, app).listenTcp("127.0.0.1:0");
    await server.addService(service).start();
    expect((await fetch(`http://${service.addresses[0]}/`)).status).toBe(500);
    await log.next("hook-error", 2);
    await server.stop(0);
    expect(log.messages("hook-error")).toMatchObject([
      { phase: "newCtx", ctx: undefined, thrown: { name: "TypeError" } },
      { phase: "newCtx", ctx: undefined, thrown: boom },
    ]);
  });

  describe("a hook that fails when its client has left is told, and logged", () => {
    /** Starts a request whose hook waits, lets the client leave, then the hook fail. */
    async function expectTold(
      hook: Hook,
      phase: string,
      thrown: unknown,
      app: TestApp<object>,
      send: (proxy: TestProxy<object>) => Promise<Wire>,
    ): Promise<TestProxy<object>> {
      const inside = gate();
      const { opened, open } = gate();
      await using proxy = await startProxy({
        ...app,
        [hook]: async () => {
          inside.open();
          await opened;
          throw thrown;
        },
      });
      const client = await send(proxy);
      await inside.opened;
      client.close();
      await log.next("request-end");
      expect(log.names).toEqual(["request-end"]);
      open();
      if (!(thrown instanceof ProxyError)) {
        await log.next("hook-error");
        expect(log.messages("hook-error")).toMatchObject([{ phase, thrown }]);
        expect(proxy.logs).toContainEqual(expect.objectContaining({ phase, msg: "a hook failed in vain" }));
      }
      return proxy;
    }

    const hooks: Hook[] = [
      "requestFilter",
      "upstreamPeer",
      "upstreamRequestFilter",
      "requestBodyFilter",
      "upstreamResponseFilter",
      "responseTrailerFilter",
    ];
    test.each(hooks)("%s", async (hook) => {
      await using origin = await answering(WITH_TRAILERS);
      // Of a client that is paused and has sent more, it does not show that it leaves.
      const request = hook === "requestBodyFilter" ? get() : POST;
      await expectTold(hook, hook, boom, { origin }, (proxy) => proxy.send(request));
    });

    test("failToProxy", async () => {
      await using dead = await closing();
      await expectTold("failToProxy", "failToProxy", boom, { origin: dead }, (proxy) => proxy.send(POST));
    });

    test("but not a ProxyError, which would have decided about the request", async () => {
      await using origin = await answering(OK);
      const decided = ProxyError.httpStatus(403);
      const proxy = await expectTold("requestFilter", "requestFilter", decided, { origin }, (own) => own.send(get()));
      for (let turn = 0; turn < 3; turn++) await setImmediate();
      expect(log.names).toEqual(["request-end"]);
      expect(proxy.logs.filter(({ msg }) => msg === "a hook failed in vain")).toEqual([]);
    });
  });
});
