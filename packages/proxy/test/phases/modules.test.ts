import { setImmediate } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import {
  ResponseCompression,
  type HttpModule,
  type HttpModuleBuilder,
  type HttpModules,
  type HttpModuleType,
} from "@sluice/core";
import { ProxyError, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK, type Origin } from "../support/origin.ts";
import { gate, get, type TestApp } from "../support/proxy.ts";
import { settled } from "../support/settled.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, answering, startOrigin, startProxy }) => {
  const CHUNKED = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
  const POST = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc";
  const PUT = "PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";

  const text = (piece: Uint8Array | undefined): string => (piece === undefined ? "-" : Buffer.from(piece).toString());
  const upper = (piece: Uint8Array | undefined): Uint8Array | undefined =>
    piece && Buffer.from(text(piece).toUpperCase());

  /** A builder of a class that has the hooks of `module`, which is shared by all requests. */
  function shared(module: HttpModule, order = 0): HttpModuleBuilder {
    class Shared {
      readonly hooks: object = Object.assign(this, module);
    }
    return { type: Shared as HttpModuleType, order, init: () => new Shared() as HttpModule };
  }

  /** An app whose requests have these modules on the client's side. */
  function withModules(...builders: HttpModuleBuilder[]): TestApp<object> {
    return {
      initDownstreamModules(modules: HttpModules) {
        for (const builder of builders) modules.add(builder);
      },
    };
  }

  describe("the modules of a request", () => {
    class Counter implements HttpModule {
      calls = 0;
      closed = 0;
      requestHeader(): void {
        this.calls++;
      }
      close(): void {
        this.closed++;
      }
    }
    const counter: HttpModuleBuilder<Counter> = { type: Counter, init: () => new Counter() };

    test("are response compression, which is off, unless the app registers others", async () => {
      await using origin = await answering(OK);
      const found: unknown[] = [];
      const requestFilter = (session: Session): void =>
        void found.push(session.modules.get(ResponseCompression), session.modules.get(Counter));
      await using plain = await startProxy({ origin, requestFilter });
      await (await plain.send(get())).message();
      await using other = await startProxy({ origin, requestFilter, ...withModules(counter) });
      await (await other.send(get())).message();
      expect(found).toEqual([expect.any(ResponseCompression), undefined, undefined, expect.any(Counter)]);
      expect((found[0] as ResponseCompression).enabled).toBe(false);
    });

    test("are not made where nobody asks for one", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin });
      await (await proxy.send(get())).message();
      expect((await proxy.whenFinished()).session.ownModules).toBeUndefined();
    });

    test("are one of each for a request, found by every hook, and closed when it is over", async () => {
      await using origin = await answering(OK);
      const found = new Set<Counter | undefined>();
      const look = (session: Session): void => void found.add(session.modules.get(Counter));
      let closedAtLogging: number | undefined;
      await using proxy = await startProxy({
        origin,
        ...withModules(counter),
        earlyRequestFilter: look,
        requestFilter: look,
        upstreamRequestFilter: look,
        responseFilter: look,
        logging: (session) => void (closedAtLogging = session.modules.get(Counter)?.closed),
      });
      const client = await proxy.send(get());
      await client.message();
      client.send(get());
      await client.message();
      await proxy.whenFinished(2);
      expect([...found].map((module) => module?.calls)).toEqual([1, 1]);
      await expect.poll(() => [...found].map((module) => module?.closed), { interval: 5 }).toEqual([1, 1]);
      expect(closedAtLogging).toBe(0);
    });

    test("are closed also when the request fails", async () => {
      const closed = gate();
      await using proxy = await startProxy({
        ...withModules(shared({ close: closed.open })),
        requestFilter() {
          throw new Error("boom");
        },
      });
      expect((await (await proxy.send(get())).message()).status).toBe(500);
      await closed.opened;
    });

    test.each<[string, TestApp<object>, string]>([
      ["twice", withModules(counter, { ...counter }), "Counter is registered already"],
      [
        "by a promise",
        { initDownstreamModules: (async () => {}) as never },
        "initDownstreamModules must return its result",
      ],
      ["upstream by a promise", { initUpstreamModules: (async () => {}) as never }, "initUpstreamModules must return"],
    ])("cannot be registered %s: it fails at the start", async (_how, app, message) => {
      await expect(startProxy(app)).rejects.toThrow(message);
    });

    test("cannot be registered later", async () => {
      let kept: HttpModules | undefined;
      await using _proxy = await startProxy({ initDownstreamModules: (modules) => void (kept = modules) });
      expect(() => kept!.add(counter)).toThrow("comes too late");
    });
  });

  describe("requestHeader", () => {
    test("runs between earlyRequestFilter and requestFilter, higher order first, and what it edits goes up", async () => {
      const calls: string[] = [];
      const heads: string[] = [];
      await using origin = await startOrigin(async (connection) => {
        heads.push(await connection.upTo("\r\n\r\n"));
        connection.send(OK);
      });
      const note = (name: string): HttpModule => ({
        async requestHeader(request) {
          await setImmediate();
          calls.push(name);
          request.append("X-Order", name);
        },
      });
      await using proxy = await startProxy({
        origin,
        ...withModules(shared(note("low"), -1), shared(note("high"), 1)),
        earlyRequestFilter: () => void calls.push("early"),
        requestFilter: (session) => void calls.push(`filter ${session.request.getAll("x-order").join()}`),
      });
      await (await proxy.send(get())).message();
      expect(calls).toEqual(["early", "high", "low", "filter high,low"]);
      expect(heads[0]).toContain("X-Order: high\r\nX-Order: low\r\n");
    });

    test.each([
      ["a status", () => ProxyError.httpStatus(403, "no"), 403],
      ["an Error", () => new Error("no"), 500],
    ])("that throws %s fails the request before any filter and upstream", async (_what, make, status) => {
      await using origin = await answering(OK);
      let filtered = 0;
      await using proxy = await startProxy({
        origin,
        ...withModules(
          shared({
            requestHeader() {
              throw make();
            },
          }),
        ),
        requestFilter: () => void filtered++,
      });
      expect((await (await proxy.send(get())).message()).status).toBe(status);
      expect([filtered, origin.connections.length]).toEqual([0, 0]);
      expect(proxy.errors).toMatchObject([{ phase: "requestModules", status }]);
    });

    test("does not run for a request that earlyRequestFilter has answered", async () => {
      let calls = 0;
      await using proxy = await startProxy({
        ...withModules(shared({ requestHeader: () => void calls++ })),
        earlyRequestFilter: (session) => session.respond(204),
      });
      expect((await (await proxy.send(get())).message()).status).toBe(204);
      expect(calls).toBe(0);
    });

    test("that waits is left when the client leaves", async () => {
      const inside = gate();
      await using proxy = await startProxy(
        withModules(
          shared({
            async requestHeader() {
              inside.open();
              await new Promise(() => {});
            },
          }),
        ),
      );
      const client = await proxy.send(get());
      await inside.opened;
      client.close();
      expect((await proxy.whenFinished()).error?.source).toBe("downstream");
    });
  });

  describe("requestBody", () => {
    /** Answers every request with 200 and keeps what it got; the first `lost` connections are closed instead. */
    async function receiving(bodies: string[], lost = 0): Promise<Origin> {
      return startOrigin(async (connection) => {
        for (;;) {
          bodies.push((await connection.message()).body.toString());
          if (connection.index < lost) {
            connection.close();
            return;
          }
          connection.send(OK);
        }
      });
    }

    test.each([false, true])(
      "comes before requestBodyFilter, piece by piece and then the end (slow: %s)",
      async (slow) => {
        const bodies: string[] = [];
        await using origin = await receiving(bodies);
        const calls: string[] = [];
        const module: HttpModule = {
          async requestHeader(request) {
            request.remove("content-length");
          },
          requestBody(piece, end) {
            calls.push(`module ${text(piece)} ${end}`);
            const given = end ? Buffer.from("!") : upper(piece);
            return slow ? setImmediate(given) : given;
          },
        };
        await using proxy = await startProxy({
          origin,
          ...withModules(shared(module)),
          requestBodyFilter: (_session, piece, end) => void calls.push(`filter ${text(piece)} ${end}`),
        });
        expect((await (await proxy.send(PUT)).message()).status).toBe(200);
        expect(bodies).toEqual(["ABCDEF!"]);
        const told = (whom: string): string[] => {
          return calls.filter((call) => call.startsWith(whom)).map((call) => call.replace(/^\w+ | false$/g, ""));
        };
        expect(told("module").join("")).toBe("abcdef- true");
        expect(told("filter").join("")).toBe("ABCDEF!- true");
        // HTTP/2 joins what waits until there is a connection to the upstream.
        if (leg.downstream === 1) {
          expect(told("module")).toEqual(["abc", "def", "- true"]);
          expect(told("filter")).toEqual(["ABC", "DEF", "!", "- true"]);
        }
      },
    );

    test("that takes its time has the client paused", async () => {
      await using origin = await startOrigin(async (connection) => void (await connection.rest()));
      const inside = gate();
      await using proxy = await startProxy({
        origin,
        ...withModules(
          shared({
            async requestBody() {
              inside.open();
              await new Promise(() => {});
            },
          }),
        ),
      });
      const client = await proxy.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n");
      const body = Buffer.alloc(64_000_000);
      client.send(body);
      await inside.opened;
      // What the system and the proxy take without anybody who reads is bounded.
      expect(await settled(() => client.socket.writableLength)).toBeGreaterThan(body.length / 2);
    });

    test("may swallow pieces and give them later", async () => {
      const bodies: string[] = [];
      await using origin = await receiving(bodies);
      class Collects implements HttpModule {
        #all = "";
        async requestBody(piece: Uint8Array | undefined, end: boolean): Promise<Uint8Array> {
          await setImmediate();
          if (piece !== undefined) this.#all += text(piece);
          return Buffer.from(end ? this.#all.toUpperCase() : "");
        }
      }
      await using proxy = await startProxy({
        origin,
        ...withModules({ type: Collects, init: () => new Collects() }),
      });
      const client = await proxy.send(POST);
      expect((await client.message()).status).toBe(200);
      client.send(PUT);
      expect((await client.message()).status).toBe(200);
      expect(bodies).toEqual(["ABC", "ABCDEF"]);
    });

    test("sees each byte once, however many attempts are made", async () => {
      const bodies: string[] = [];
      await using origin = await receiving(bodies, 2);
      const calls: string[] = [];
      await using proxy = await startProxy({
        origin,
        ...withModules(
          shared({
            requestBody(piece, end) {
              calls.push(`${text(piece)} ${end}`);
              return upper(piece);
            },
          }),
        ),
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      expect((await (await proxy.send(POST)).message()).status).toBe(200);
      expect(bodies).toEqual(["ABC", "ABC", "ABC"]);
      expect(calls).toEqual(["abc false", "- true"]);
    });

    test.each(["abc", "def", "-"])(
      "that is busy with %j when the attempt fails is not called again; the next gets it",
      async (slow) => {
        const bodies: string[] = [];
        await using origin = await startOrigin(async (connection) => {
          if (connection.index === 0) {
            await connection.upTo("\r\n\r\n");
            connection.close();
            return;
          }
          bodies.push((await connection.message()).body.toString());
          connection.send(OK);
        });
        const module = gate();
        const failed = gate();
        const calls: string[] = [];
        await using proxy = await startProxy({
          origin,
          ...withModules(
            shared({
              async requestBody(piece) {
                calls.push(text(piece));
                if (text(piece).includes(slow)) await module.opened;
                return upper(piece);
              },
            }),
          ),
          errorWhileProxy(_peer, _session, error) {
            failed.open();
            return error.setRetry(true);
          },
        });
        const client = await proxy.send(PUT);
        await failed.opened;
        await origin.connection(1);
        module.open();
        expect((await client.message()).status).toBe(200);
        // HTTP/2 joins what waits until there is a connection to the upstream.
        expect([bodies, calls.join("")]).toEqual([["ABCDEF"], "abcdef-"]);
      },
    );

    test("has one call, with the end, for a request without body, also when it is tried again", async () => {
      const bodies: string[] = [];
      await using origin = await receiving(bodies, 1);
      const calls: string[] = [];
      await using proxy = await startProxy({
        origin,
        ...withModules(
          shared({
            async requestBody(piece, end) {
              calls.push(`${text(piece)} ${end}`);
            },
          }),
        ),
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      expect((await (await proxy.send(get())).message()).status).toBe(200);
      expect([bodies, calls]).toEqual([["", ""], ["- true"]]);
    });

    test("does not send the head of a request without body before a slow requestBodyFilter is through", async () => {
      await using origin = await answering(OK);
      const inside = gate();
      const filter = gate();
      await using proxy = await startProxy({
        origin,
        ...withModules(shared({ requestBody: () => undefined })),
        async requestBodyFilter() {
          inside.open();
          await filter.opened;
          throw ProxyError.httpStatus(403);
        },
      });
      const client = await proxy.send(get());
      await inside.opened;
      // By HTTP/2 a request that was not sent is nothing to the origin.
      const connection = leg.upstream === 1 ? await origin.connection() : undefined;
      for (let turn = 0; turn < 20; turn++) await setImmediate();
      filter.open();
      expect((await client.message()).status).toBe(403);
      await connection?.whenEnded();
      expect(connection?.receivedBytes ?? origin.connections.length).toBe(0);
    });

    test.each([false, true])("that fails (slow: %s) fails the request, which is not tried again", async (slow) => {
      await using origin = await startOrigin((connection) => connection.rest());
      await using proxy = await startProxy({
        origin,
        ...withModules(
          shared({
            requestBody() {
              if (slow) return setImmediate().then(() => Promise.reject(ProxyError.httpStatus(422, "bad body")));
              throw ProxyError.httpStatus(422, "bad body");
            },
          }),
        ),
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      expect((await (await proxy.send(POST)).message()).status).toBe(422);
      expect(proxy.errors).toMatchObject([{ phase: "requestModules", tries: 1 }]);
      // By HTTP/2 not even a stream may have been opened.
      expect(origin.connections.length).toBeLessThanOrEqual(1);
    });

    test("sees the trailers, which it may edit", async () => {
      const received: string[] = [];
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("0\r\n");
        received.push(await connection.upTo("\r\n\r\n"));
        connection.send(OK);
      });
      await using proxy = await startProxy({
        origin,
        ...withModules(shared({ requestTrailers: (trailers) => void trailers.set("X-Sum", "2") })),
      });
      const client = await proxy.send(PUT.replace("0\r\n\r\n", "0\r\nX-Sum: 1\r\n\r\n"));
      await client.message();
      expect(received).toEqual(["X-Sum: 2\r\n\r\n"]);
    });
  });

  describe("response hooks", () => {
    test("run behind all filters, for every head, and in order however slow they are", async () => {
      let taken = (): void => undefined;
      const whenTaken = (): Promise<void> => new Promise((resolve) => (taken = resolve));
      await using origin = await startOrigin(async (connection) => {
        for (;;) {
          await connection.message();
          connection.send("HTTP/1.1 103 Early Hints\r\n\r\n", CHUNKED);
          // HTTP/2 may join what waits: the next one comes while the one before is with its hook.
          for (const piece of ["a", "b", "c"]) {
            const waited = whenTaken();
            connection.send(`1\r\n${piece}\r\n`);
            await waited;
          }
          connection.send("0\r\nX-Sum: 1\r\n\r\n");
        }
      });
      const calls: string[] = [];
      const module: HttpModule = {
        async responseHeader(response, end) {
          calls.push(`head ${response.status} ${response.get("x-filtered")} ${end}`);
          await setImmediate();
        },
        async responseBody(piece, end) {
          calls.push(`body ${text(piece)} ${end}`);
          taken();
          // Later pieces are quicker.
          for (let turn = 0; turn < (text(piece) === "a!" ? 20 : 1); turn++) await setImmediate();
          return upper(piece);
        },
        async responseTrailers(trailers) {
          calls.push(`trailers ${trailers.get("x-sum")}`);
          trailers.set("X-Sum", "2");
        },
        async responseDone() {
          await setImmediate();
          return Buffer.from("?");
        },
      };
      await using proxy = await startProxy({
        origin,
        ...withModules(shared(module)),
        responseFilter: (_session, response) => void response.set("X-Filtered", "1"),
        responseBodyFilter: (_session, piece) => piece && Buffer.from(`${text(piece)}!`),
        responseTrailerFilter: (_session, trailers) => void trailers.append("X-Filtered", "1"),
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(103);
      const answer = await client.message();
      expect([answer.body.toString(), answer.trailers]).toEqual([
        "A!B!C!?",
        [
          ["X-Sum", "2"],
          ["X-Filtered", "1"],
        ],
      ]);
      expect(calls).toEqual([
        "head 103 1 false",
        "head 200 1 false",
        "body a! false",
        "body b! false",
        "body c! false",
        "body - true",
        "trailers 1",
      ]);
      client.send(get());
      await client.message();
      expect((await client.message()).status).toBe(200);
      expect(origin.connections).toHaveLength(1);
    });

    test("that are slow have the origin paused", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(CHUNKED);
        for (let piece = 0; piece < 640; piece++) connection.send(`186a0\r\n${"x".repeat(100_000)}\r\n`);
      });
      const inside = gate();
      await using proxy = await startProxy({
        origin,
        ...withModules(
          shared({
            async responseBody() {
              inside.open();
              await new Promise(() => {});
            },
          }),
        ),
      });
      await proxy.send(get());
      await inside.opened;
      expect(await settled(() => origin.connections[0]!.socket.writableLength)).toBeGreaterThan(32_000_000);
    });

    test("may make a body of the trailers", async () => {
      await using origin = await answering(`${CHUNKED}1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n`);
      await using proxy = await startProxy({
        origin,
        ...withModules(shared({ responseTrailers: (trailers) => Buffer.from(trailers.get("x-sum")!) })),
      });
      const answer = await (await proxy.send(get())).message();
      expect([answer.body.toString(), answer.trailers]).toEqual(["a1", []]);
    });

    test("give more than Content-Length says: an error, and the response is cut", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        origin,
        ...withModules(shared({ responseDone: () => Buffer.from("more") })),
      });
      const client = await proxy.send(get());
      expect((await client.rest()).toString()).not.toContain("more");
      expect(proxy.errors).toMatchObject([
        { cut: true, error: expect.stringContaining("longer than its Content-Length") },
      ]);
    });

    test("may add to a response without body", async () => {
      await using origin = await answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      await using proxy = await startProxy({
        origin,
        ...withModules(
          shared({
            responseHeader: (response) => void response.remove("content-length"),
            responseBody: (_piece, end) => (end ? Buffer.from("all") : undefined),
          }),
        ),
      });
      expect((await (await proxy.send(get())).message()).body.toString()).toBe("all");
    });

    test.each([false, true])(
      "that fail at the head (slow: %s) have the request answered with their status",
      async (slow) => {
        await using origin = await answering(OK);
        await using proxy = await startProxy({
          origin,
          ...withModules(
            shared({
              responseHeader() {
                if (slow) return setImmediate().then(() => Promise.reject(ProxyError.httpStatus(511)));
                throw ProxyError.httpStatus(511);
              },
            }),
          ),
        });
        expect((await (await proxy.send(get())).message()).status).toBe(511);
        expect(proxy.errors).toMatchObject([{ phase: "responseModules", status: 511 }]);
      },
    );

    test.each([
      ["initDownstreamModules", "requestModules"],
      ["initUpstreamModules", "upstreamModules"],
    ] as const)("that cannot be made (%s) fail their request, and the line says so", async (init, phase) => {
      await using origin = await answering(OK);
      class Broken implements HttpModule {
        requestHeader(): void {}
      }
      const broken: HttpModuleBuilder = {
        type: Broken,
        init() {
          throw new Error("boom");
        },
      };
      await using proxy = await startProxy({ origin, [init]: (modules: HttpModules) => void modules.add(broken) });
      expect((await (await proxy.send(get())).message()).status).toBe(500);
      expect(proxy.errors).toMatchObject([
        { phase, error: expect.stringContaining("module Broken, init cause: boom") },
      ]);
    });

    test.each(["responseBody", "responseTrailers", "responseDone"] as const)(
      "that fail later (%s) cut it",
      async (hook) => {
        await using origin = await answering(`${CHUNKED}1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n`);
        await using proxy = await startProxy({
          origin,
          ...withModules(shared({ [hook]: () => setImmediate().then(() => Promise.reject(new Error("boom"))) })),
        });
        const client = await proxy.send(get());
        const all = (await client.rest()).toString();
        expect(all).toContain("HTTP/1.1 200 OK");
        expect(all).not.toContain("0\r\n");
        expect(proxy.errors).toMatchObject([
          { phase: "responseModules", cut: true, error: expect.stringContaining(hook) },
        ]);
        expect(proxy.pool.idleCount).toBe(leg.upstream - 1);
      },
    );

    test("that wait are left when the client leaves, and closed", async () => {
      await using origin = await answering(OK);
      const inside = gate();
      const closed = gate();
      await using proxy = await startProxy({
        origin,
        ...withModules(
          shared({
            async responseBody() {
              inside.open();
              await new Promise(() => {});
            },
            close: closed.open,
          }),
        ),
      });
      const client = await proxy.send(get());
      await inside.opened;
      client.close();
      await closed.opened;
      expect((await proxy.whenFinished()).error?.source).toBe("downstream");
      if (leg.upstream === 1) await origin.connections[0]!.whenEnded();
    });
  });

  describe("an answer of a hook", () => {
    const module: HttpModule = {
      async responseHeader(response, end) {
        await setImmediate();
        response.set("X-Module", `${end}`).remove("content-length");
      },
      responseBody: async (piece) => upper(piece),
      responseDone: () => Buffer.from("!"),
    };

    test.each<[string, TestApp<object>]>([
      ["requestFilter", { requestFilter: (session) => session.respond(200, { body: "hi" }) }],
      ["an asynchronous requestFilter", { requestFilter: async (session) => session.respond(200, { body: "hi" }) }],
      [
        "a requestFilter that does not say so",
        { requestFilter: (session) => void session.respond(200, { body: "hi" }) },
      ],
      ["earlyRequestFilter", { earlyRequestFilter: (session) => session.respond(200, { body: "hi" }) }],
      ["proxyUpstreamFilter", { proxyUpstreamFilter: (session) => session.respond(200, { body: "hi" }) }],
    ])("passes them (%s), and the connection goes on", async (_where, app) => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin, ...withModules(shared(module)), ...app });
      const client = await proxy.send(get());
      for (let turn = 0; turn < 2; turn++) {
        const answer = await client.message();
        expect([answer.status, answer.field("x-module"), answer.body.toString()]).toEqual([200, "false", "HI!"]);
        client.send(get());
      }
      expect(origin.connections).toHaveLength(0);
      expect((await proxy.whenFinished()).error).toBeUndefined();
    });

    test("without body passes them too, and so does decline()", async () => {
      await using proxy = await startProxy({
        ...withModules(shared(module)),
        requestFilter: (session) => (session.request.target === "/no" ? session.decline() : session.respond(204)),
      });
      const client = await proxy.send(get());
      expect((await client.message()).field("x-module")).toBe("true");
      client.send(get("/no"));
      const answer = await client.message();
      expect([answer.status, answer.field("x-module"), answer.body.toString()]).toEqual([502, "true", "!"]);
    });

    test("of respondError does not pass them", async () => {
      await using proxy = await startProxy({
        ...withModules(shared(module)),
        requestFilter() {
          throw ProxyError.httpStatus(418);
        },
      });
      const answer = await (await proxy.send(get())).message();
      expect([answer.status, answer.field("x-module")]).toEqual([418, undefined]);
    });

    test("of failToProxy passes those that there are", async () => {
      await using proxy = await startProxy({
        ...withModules(shared(module)),
        requestFilter() {
          throw ProxyError.httpStatus(418);
        },
        failToProxy(session) {
          session.respond(418, { body: "page" });
          return 418;
        },
      });
      const answer = await (await proxy.send(get())).message();
      expect([answer.status, answer.field("x-module"), answer.body.toString()]).toEqual([418, "false", "PAGE!"]);
    });

    test("that a module fails at its head is a failed request; in its body, one that is cut", async () => {
      const hooks: HttpModule = {
        responseHeader(response) {
          if (response.has("x-bad")) throw ProxyError.httpStatus(511);
        },
        async responseBody() {
          throw new Error("boom");
        },
      };
      await using proxy = await startProxy({
        ...withModules(shared(hooks)),
        requestFilter: (session) =>
          session.respond(200, {
            body: "hi",
            ...(session.request.target === "/head" && { fields: { "X-Bad": "1" } }),
          }),
      });
      expect((await (await proxy.send(get("/head"))).message()).status).toBe(511);
      const client = await proxy.send(get("/body"));
      const rest = (await client.rest()).toString();
      // A stream of HTTP/2 may be reset before its head has gone.
      if (leg.downstream === 1 || rest !== "")
        expect(rest).toMatch(/^HTTP\/1.1 200 OK\r\n.*Content-Length: 2\r\n.*\r\n\r\n$/s);
      expect(proxy.errors).toMatchObject([
        { phase: "responseModules", status: 511 },
        { phase: "responseModules", status: 200, cut: true },
      ]);
    });

    test("that was begun before its hook failed is sent whole, and the failure logged", async () => {
      await using proxy = await startProxy({
        ...withModules(shared(module)),
        requestFilter(session) {
          session.respond(200, { body: "hi" });
          throw new Error("boom");
        },
      });
      const answer = await (await proxy.send(get())).message();
      expect([answer.status, answer.body.toString()]).toEqual([200, "HI!"]);
      expect(proxy.errors).toMatchObject([{ phase: "requestFilter", status: 200 }]);
    });

    test("can be given once only", async () => {
      await using proxy = await startProxy({
        ...withModules(shared(module)),
        requestFilter(session) {
          session.respond(200);
          session.respond(201);
        },
      });
      expect((await (await proxy.send(get())).message()).status).toBe(200);
      expect(proxy.errors).toMatchObject([{ error: expect.stringContaining("a second answer (status 201)") }]);
    });

    test("to HEAD has no body for them", async () => {
      await using proxy = await startProxy({
        ...withModules(shared({ ...module, responseDone: () => undefined })),
        requestFilter: (session) => session.respond(200, { body: "hi" }),
      });
      const client = await proxy.send(get().replace("GET", "HEAD"));
      expect((await client.message({ toHead: true })).field("x-module")).toBe("true");
      client.send(get());
      expect((await client.message()).body.toString()).toBe("HI");
    });
  });

  describe("the upstream's modules", () => {
    class Attempt implements HttpModule {
      static made = 0;
      readonly number: number = ++Attempt.made;
      heads: number[] = [];
      responseHeader(response: { status: number; append(name: string, value: string): unknown }): void {
        this.heads.push(response.status);
        response.append("X-Attempt", `${this.number} ${this.heads.join()}`);
      }
      responseBody = (piece: Uint8Array | undefined): Uint8Array | undefined => upper(piece);
    }

    test("run before the filters, each attempt with its own, adjusted for every head", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        await connection.sent("HTTP/1.1 103 Early Hints\r\n\r\n");
        if (connection.index === 0) connection.close();
        else connection.send(`${CHUNKED}2\r\nhi\r\n0\r\n\r\n`);
      });
      Attempt.made = 0;
      const seen: string[] = [];
      await using proxy = await startProxy({
        origin,
        initUpstreamModules: (modules) => void modules.add({ type: Attempt, init: () => new Attempt() }),
        async adjustUpstreamModules(session, response, end) {
          await setImmediate();
          seen.push(`adjust ${response.status} ${end} ${session.upstreamModules.get(Attempt)?.number}`);
        },
        upstreamResponseFilter: (_session, response) => void seen.push(`filter ${response.get("x-attempt")}`),
        upstreamResponseBodyFilter: (_session, piece) => void seen.push(`body ${text(piece)}`),
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      const client = await proxy.send(get());
      await client.message();
      await client.message();
      expect((await client.message()).body.toString()).toBe("HI");
      expect(seen).toEqual([
        "adjust 103 false 1",
        "filter 1 103",
        "adjust 103 false 2",
        "filter 2 103",
        "adjust 200 false 2",
        "filter 2 103,200",
        "body HI",
        "body -",
      ]);
    });

    test("are not there before an attempt is: asking for them says when they are", async () => {
      await using proxy = await startProxy({
        requestFilter: (session) => void session.upstreamModules.get(Attempt),
      });
      expect((await (await proxy.send(get())).message()).status).toBe(500);
      expect(proxy.errors).toMatchObject([
        {
          error: expect.stringContaining(
            "session.upstreamModules in requestFilter: the upstream's modules are made for",
          ),
        },
      ]);
    });

    test("add at the end what filters and the client's modules still see", async () => {
      await using origin = await answering(`${CHUNKED}1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n`);
      const seen: string[] = [];
      const module = shared({
        responseTrailers: async (trailers) => Buffer.from(`sum ${trailers.get("x-sum")}`),
        responseDone: () => Buffer.from("."),
      });
      await using proxy = await startProxy({
        origin,
        initUpstreamModules: (modules) => void modules.add(module),
        responseBodyFilter: (_session, piece, end) => void seen.push(`${text(piece)} ${end}`),
        responseTrailerFilter: () => void seen.push("trailers"),
        ...withModules(shared({ responseBody: (piece) => upper(piece) })),
      });
      expect((await (await proxy.send(get())).message()).body.toString()).toBe("ASUM 1.");
      expect(seen).toEqual(["a false", "sum 1. false", "- true"]);
    });

    test.each([false, true])("that fail (slow: %s) fail the attempt", async (slow) => {
      await using origin = await answering(OK);
      const module = shared({
        responseHeader() {
          if (slow) return setImmediate().then(() => Promise.reject(new Error("boom")));
          throw new Error("boom");
        },
      });
      await using proxy = await startProxy({ origin, initUpstreamModules: (modules) => void modules.add(module) });
      expect((await (await proxy.send(get())).message()).status).toBe(500);
      expect(proxy.errors).toMatchObject([{ phase: "upstreamModules" }]);
    });
  });

  describe("compression", () => {
    const BODY = "B".repeat(32);
    const PLAIN_TEXT = `${CHUNKED}20\r\n${BODY}\r\n0\r\n\r\n`;
    const ACCEPTS = "Accept-Encoding: gzip\r\n";

    test("downstream: is done when a filter turns it on, behind the filters", async () => {
      await using origin = await answering(PLAIN_TEXT);
      const seen: string[] = [];
      await using proxy = await startProxy({
        origin,
        responseFilter: (session) => void session.modules.get(ResponseCompression)!.setLevel(6),
        responseBodyFilter: (_session, piece) => void seen.push(text(piece)),
      });
      const answer = await (await proxy.send(get("/", ACCEPTS))).message();
      expect(answer.field("content-encoding")).toBe("gzip");
      expect(answer.body.length).toBeLessThan(32);
      expect(gunzipSync(answer.body).toString()).toBe(BODY);
      expect(seen).toEqual([BODY, "-"]);
    });

    test("upstream: is done before the filters, in whichever attempt succeeds", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        if (connection.index === 0) {
          await connection.sent("HTTP/1.1 103 Early Hints\r\n\r\n");
          connection.close();
        } else {
          connection.send(PLAIN_TEXT);
        }
      });
      const codings: (string | undefined)[] = [];
      await using proxy = await startProxy({
        origin,
        earlyRequestFilter: (session) => void session.upstreamCompression.setLevel(6),
        upstreamResponseFilter: (_session, response) => void codings.push(response.get("content-encoding")),
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      const client = await proxy.send(get("/", ACCEPTS));
      expect((await client.message()).status).toBe(103);
      const answer = await client.message();
      expect(gunzipSync(answer.body).toString()).toBe(BODY);
      expect(codings).toEqual([undefined, "gzip"]);
      const { session } = await proxy.whenFinished();
      expect(session.upstreamCompression.info).toMatchObject({ kind: "compress", algorithm: "gzip", bytesIn: 32 });
    });

    test("upstream: can be turned on by what is answered, and asks what went up in Accept-Encoding", async () => {
      await using origin = await answering(PLAIN_TEXT);
      await using proxy = await startProxy({
        origin,
        upstreamRequestFilter(session, outgoing) {
          if (session.request.target === "/plain") outgoing.remove("accept-encoding");
        },
        adjustUpstreamModules: (session) => void session.upstreamCompression.setLevel(1),
      });
      const client = await proxy.send(get("/", ACCEPTS));
      expect((await client.message()).field("content-encoding")).toBe("gzip");
      client.send(get("/plain", ACCEPTS));
      expect((await client.message()).field("content-encoding")).toBeUndefined();
    });

    test("upstream: turned on too late says so", async () => {
      await using origin = await answering(PLAIN_TEXT);
      await using proxy = await startProxy({
        origin,
        upstreamResponseFilter: (session) => void session.upstreamCompression.setLevel(1),
        responseFilter: (session) => void session.upstreamCompression.setLevel(1),
      });
      const client = await proxy.send(get("/", ACCEPTS));
      await client.message();
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([{ error: expect.stringContaining("set too late") }]);
    });

    test("of an answer given by a hook", async () => {
      await using proxy = await startProxy({
        requestFilter(session) {
          session.modules.get(ResponseCompression)!.setLevel(6);
          return session.respond(200, { body: BODY, fields: { "Content-Type": "text/plain" } });
        },
      });
      const client = await proxy.send(get("/", ACCEPTS));
      const answer = await client.message();
      expect([answer.field("content-encoding"), gunzipSync(answer.body).toString()]).toEqual(["gzip", BODY]);
    });

    test("of many pieces arrives whole, and trailers behind it", async () => {
      const pieces = Array.from({ length: 200 }, (_, index) => `${index} `.repeat(300));
      const chunks = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`);
      await using origin = await answering(`${CHUNKED}${chunks.join("")}0\r\nX-Sum: 1\r\n\r\n`);
      await using proxy = await startProxy({
        origin,
        earlyRequestFilter: (session) => void session.modules.get(ResponseCompression)!.setLevel(1),
      });
      const client = await proxy.send(get("/", ACCEPTS));
      const answer = await client.message();
      expect(gunzipSync(answer.body).toString()).toBe(pieces.join(""));
      expect(answer.trailers).toEqual([["X-Sum", "1"]]);
      client.send(get("/", ACCEPTS));
      expect(gunzipSync((await client.message()).body).toString()).toBe(pieces.join(""));
      expect(origin.connections).toHaveLength(1);
    });

    test("sends what it holds back when nothing more comes", async () => {
      const received = gate();
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(`${CHUNKED}20\r\n${BODY}\r\n`);
        await received.opened;
        connection.send("0\r\n\r\n");
      });
      await using proxy = await startProxy({
        origin,
        earlyRequestFilter: (session) => void session.modules.get(ResponseCompression)!.setLevel(6),
      });
      const client = await proxy.send(get("/", ACCEPTS));
      await client.upTo("\r\n\r\n");
      // More than the head of the gzip stream, while the origin is still silent.
      for (let bytes = 0; bytes <= 10;) {
        const size = Number.parseInt(await client.upTo("\r\n"), 16);
        bytes += (await client.bytes(size + 2)).length - 2;
      }
      received.open();
      expect((await client.upTo("0\r\n\r\n")).length).toBeGreaterThan(10);
    });

    test("ends with a client that leaves in the middle", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(CHUNKED);
        for (let piece = 0; piece < 50; piece++) connection.send(`186a0\r\n${"x".repeat(100_000)}\r\n`);
      });
      const begun = gate();
      await using proxy = await startProxy({
        origin,
        earlyRequestFilter: (session) => void session.modules.get(ResponseCompression)!.setLevel(9),
        responseBodyFilter: () => begun.open(),
      });
      const client = await proxy.send(get("/", ACCEPTS));
      await begun.opened;
      client.close();
      expect((await proxy.whenFinished()).error?.source).toBe("downstream");
      await origin.connections[0]!.whenEnded();
    });
  });
});
