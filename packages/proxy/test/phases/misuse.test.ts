import { HttpPeer, Server } from "@sluice/core";
import { AccessLog, clientBody, HttpProxy, httpProxy, ProxyError, type ProxyHttp } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK, refusedAddress } from "../support/origin.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ answering, startOrigin, startProxy }) => {
  const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

  describe("an answer in a hook", () => {
    test.each(["earlyRequestFilter", "requestFilter"] as const)(
      "by %s ends the request there, also if the hook does not return it",
      async (hook) => {
        await using origin = await answering(OK);
        await using proxy = await startProxy({
          origin,
          [hook]: (session: { respond(status: number): unknown }) => void session.respond(403),
        });
        const client = await proxy.send("DELETE /rm HTTP/1.1\r\nHost: a\r\n\r\n");
        expect((await client.message()).status).toBe(403);
        expect((await proxy.whenFinished()).error).toBeUndefined();
        expect(origin.connections).toHaveLength(0);
      },
    );

    test.each([100, 103, 199])("with the interim status %i is an error, answered with 500", async (status) => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin, requestFilter: (session) => session.respond(status) });
      const client = await proxy.send(GET);
      expect((await client.message()).status).toBe(500);
    });

    test("by throwing an interim status is answered with 500", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        origin,
        requestFilter() {
          throw ProxyError.httpStatus(100);
        },
      });
      const client = await proxy.send(GET);
      expect((await client.message()).status).toBe(500);
    });
  });

  describe("a filter of heads", () => {
    test.each([
      ["an interim head final", "HTTP/1.1 103 Early Hints\r\n\r\n", 203],
      ["an interim head a tunnel", "HTTP/1.1 103 Early Hints\r\n\r\n", 101],
      ["a final head interim", "", 103],
    ])("that makes %s fails the request", async (_what, interim, status) => {
      await using origin = await answering(interim, OK);
      await using proxy = await startProxy({
        origin,
        responseFilter: (_session, response) => void (response.status = status),
      });
      const client = await proxy.send(GET);
      expect((await client.message()).status).toBe(500);
      expect(proxy.errors).toMatchObject([{ error: expect.stringContaining("of another kind") }]);
    });
  });

  test("editing the method in a filter changes what goes up, not what the client waits for", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin, requestFilter: (session) => void (session.request.method = "GET") });
    const client = await proxy.connect();
    for (let turn = 0; turn < 2; turn++) {
      client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
      expect((await client.message({ toHead: true })).status).toBe(200);
    }
  });

  test("what was sent decides whether it may be sent again: a GET that went up as POST is not", async () => {
    let posts = 0;
    await using origin = await startOrigin(async (connection) => {
      await connection.message();
      connection.send(OK);
      await connection.message();
      posts++;
      connection.close();
    });
    await using proxy = await startProxy({
      origin,
      upstreamRequestFilter: (_session, outgoing) => void (outgoing.method = "POST"),
    });
    const client = await proxy.connect();
    client.send(GET);
    expect((await client.message()).status).toBe(200);
    client.send(GET);
    expect((await client.message()).status).toBe(502);
    expect(posts).toBe(1);
  });

  describe("what nobody could name or show", () => {
    test.each([
      ["a symbol", Symbol("odd")],
      ["no prototype", Object.create(null)],
      ["a number", 7],
    ] as const)("%s for a summary costs the summary, not the request's end", async (_what, summary) => {
      await using proxy = await startProxy({
        requestFilter() {
          throw ProxyError.httpStatus(403);
        },
        requestSummary: () => summary as never,
      });
      const client = await proxy.send(GET);
      expect((await client.message()).status).toBe(403);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([
        { request: expect.stringContaining("requestSummary must return text"), status: 403 },
      ]);
    });

    test.each(["requestFilter", "responseBodyFilter"] as const)(
      "an error without a readable stack, thrown by %s, ends the request as any other",
      async (hook) => {
        await using origin = await answering(OK);
        await using proxy = await startProxy({
          origin,
          [hook]() {
            const odd = new Error("odd");
            Object.defineProperty(odd, "stack", {
              get() {
                throw new Error("no stack");
              },
            });
            throw odd;
          },
        });
        await proxy.send(GET);
        expect((await proxy.whenFinished()).error?.message).toContain("odd");
        expect(proxy.errors).toMatchObject([{ msg: "request failed", phase: hook }]);
        expect(proxy.errors[0]).not.toHaveProperty("stack");
      },
    );
  });

  describe("a synchronous hook that gives a promise", () => {
    const rejects = (): Promise<never> => Promise.reject(new Error("late"));

    test.each(["newCtx", "requestSummary", "suppressErrorLog"] as const)(
      "%s harms nothing but its request",
      async (hook) => {
        const server = new Server();
        const app = { newCtx: () => ({}), upstreamPeer: rejects, [hook]: rejects } as unknown as ProxyHttp<object>;
        const service = httpProxy(server, app).listenTcp("127.0.0.1:0");
        await server.addService(service).start();
        for (let turn = 0; turn < 2; turn++) {
          expect((await fetch(`http://${service.addresses[0]}/`)).status).toBe(500);
        }
        await server.stop(0);
      },
    );

    test.each([
      ["failToConnect", async () => undefined],
      ["failToConnect", rejects],
      ["failToConnect", () => true],
    ])("%s is an error, never a success", async (hook, filter) => {
      await using proxy = await startProxy({ origin: { address: await refusedAddress() }, [hook]: filter as never });
      const client = await proxy.send(GET);
      expect((await client.message()).status).toBe(502);
      expect(proxy.errors).toMatchObject([
        { error: expect.stringContaining("failToConnect must return a ProxyError") },
      ]);
    });

    test.each([
      ["errorWhileProxy", async () => undefined],
      ["errorWhileProxy", rejects],
    ])("%s is an error, never a success", async (hook, filter) => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.close();
      });
      await using proxy = await startProxy({ origin, [hook]: filter as never });
      const client = await proxy.send(GET);
      expect((await client.message()).status).toBe(502);
    });
  });

  test.each([
    ["nothing", undefined],
    ["a string", "127.0.0.1:1"],
    ["a promise of nothing", Promise.resolve()],
  ])("upstreamPeer that gives %s is named in the error", async (_what, peer) => {
    await using proxy = await startProxy({ upstreamPeer: () => peer as never });
    const client = await proxy.send(GET);
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors).toMatchObject([
      { phase: "upstreamPeer", error: expect.stringContaining("must give an HttpPeer") },
    ]);
  });

  test("whatever is thrown, logging runs", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({
      origin,
      requestFilter() {
        throw Object.create(null);
      },
      requestSummary() {
        throw Object.create(null);
      },
    });
    const client = await proxy.send(GET);
    expect((await client.message()).status).toBe(500);
    expect((await proxy.whenFinished()).error?.type).toBe("InternalError");
  });

  test("requestBodyFilter that adds bytes to a request without a body fails it", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin, requestBodyFilter: () => Buffer.from("x") });
    const client = await proxy.send(GET);
    expect((await client.message()).status).toBe(500);
  });

  test("a Content-Length that a filter adds to a request without a body does not go up", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({
      origin,
      requestFilter: (session) => void session.request.set("Content-Length", 5),
    });
    const client = await proxy.send(GET);
    expect((await client.message()).status).toBe(500);
  });

  describe("what can be known at the start fails at the start", () => {
    const server = new Server();
    const app: ProxyHttp<object> = { newCtx: () => ({}), upstreamPeer: () => new HttpPeer("127.0.0.1:1") };

    test.each([
      [
        "a misspelt hook",
        () => httpProxy(server, { ...app, requestFiter: () => undefined } as ProxyHttp<object>),
        /did you mean requestFilter/,
      ],
      ["a misspelt option", () => httpProxy(server, app, { maxAttemps: 2 } as object), /did you mean maxAttempts/],
      [
        "a misspelt option for clients",
        () => httpProxy(server, app, { http1: { headMS: 2 } as object }),
        /did you mean headMs/,
      ],
      [
        "a misspelt option of a peer",
        () => new HttpPeer("127.0.0.1:1", { conectMs: 1 } as object),
        /did you mean connectMs/,
      ],
      [
        "a time that is text",
        () => new HttpPeer("127.0.0.1:1", { readMs: "100" as never }),
        /readMs: expected milliseconds/,
      ],
      [
        "a hook that is no function",
        () => httpProxy(server, { ...app, requestFilter: 5 as never }),
        /HttpProxy: requestFilter: expected a function, got 5/,
      ],
      ["an app that is none", () => httpProxy(server, undefined as never), /HttpProxy: expected an app/],
      ["no server", () => httpProxy(app as never, {} as never), /httpProxy: expected a Server first, got an object/],
      [
        "options that are none",
        () => httpProxy(server, app, null as never),
        /httpProxy: expected an object of options/,
      ],
      ["HTTP/2 by a switch", () => httpProxy(server, app, { http2: true as never }), /http2: expected an object/],
      ["TLS by a switch", () => httpProxy(server, app, { tls: true as never }), /tls: expected a TLS provider/],
      [
        "CONNECT by a text",
        () => httpProxy(server, app, { allowConnect: "no" as never }),
        /allowConnect: expected true or false, got "no"/,
      ],
      ["a count that is text", () => httpProxy(server, app, { maxAttempts: "2" as never }), /maxAttempts: .* got "2"/],
      [
        "a connector by a switch",
        () => httpProxy(server, app, { connector: true as never }),
        /connector: expected an object/,
      ],
      [
        "a name that is none",
        () => httpProxy(server, app, { name: 5 as never }),
        /HttpService: name: expected a string, got 5/,
      ],
      ["a Via by a switch", () => httpProxy(server, app, { via: true as never }), /via: expected a string, got true/],
      [
        "no connector",
        () => new HttpProxy(app, {} as never, 1, undefined),
        /HttpProxy: expected an HttpConnector, got an object/,
      ],
      [
        "a misspelt option of Proxy-Status",
        () => httpProxy(server, app, { proxyStatus: { nexthop: true } as object }),
        /proxyStatus: unknown option nexthop; did you mean nextHop/,
      ],
      [
        "a switch of Proxy-Status that is text",
        () => httpProxy(server, app, { proxyStatus: { details: "no" as never } }),
        /proxyStatus: details: expected true or false, got "no"/,
      ],
      [
        "a misspelt option of a body",
        () => clientBody({ saveUpTo: 5 } as object),
        /clientBody: unknown option saveUpTo/,
      ],
      ["options of a body that are none", () => clientBody(null as never), /clientBody: expected an object of options/],
      [
        "a format of the access log",
        () => new AccessLog({ format: "toString" as never, to: "a.log" }),
        /format: .* got "toString"/,
      ],
      ["no place for the access log", () => new AccessLog({ to: 5 as never }), /AccessLog: to: .* got 5/],
      [
        "a misspelt option of the connector",
        () => httpProxy(server, app, { connector: { maxIdel: 1 } as object }),
        /httpProxy: connector: unknown option maxIdel; did you mean maxIdle/,
      ],
      ["what is no service", () => server.addService(app as never), /addService: expected a service/],
      [
        "a misspelt option of a service",
        () => server.addService(httpProxy(server, app), { aftr: [] } as object),
        /addService: unknown option aftr; did you mean after/,
      ],
      ["a misspelt option of the server", () => new Server({}, { handovr: 1 } as object), /did you mean handover/],
    ])("%s", (_what, make, message) => {
      expect(make).toThrow(message);
    });
  });

  test.each<[what: string, hooks: Partial<ProxyHttp<object>>, error: RegExp]>([
    [
      "respond",
      { requestFilter: (session) => session.respond(200, { headers: { a: "b" } } as object) },
      /session\.respond: unknown option headers/,
    ],
    [
      "respond with a text for options",
      { requestFilter: (session) => session.respond(200, "hello" as never) },
      /session\.respond: expected an object of options, got "hello"/,
    ],
    [
      "errorPage",
      {
        requestFilter: () => {
          throw ProxyError.httpStatus(500);
        },
        errorPage: () => ({ headers: {}, body: "sorry" }) as object,
      },
      /errorPage: unknown option headers/,
    ],
  ])("an option of an answer that is not known is not ignored: %s", async (_what, hooks, error) => {
    await using proxy = await startProxy({ origin: { address: "127.0.0.1:1" }, ...hooks });
    const client = await proxy.send(GET);
    expect((await client.message()).status).toBe(500);
    await proxy.whenFinished();
    expect(proxy.errors[0]).toMatchObject({ error: expect.stringMatching(error) });
  });

  test("a body filter that makes a body longer than its Content-Length is told what to do", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({
      origin,
      responseBodyFilter: (_session, piece) => piece && Buffer.concat([piece, piece]),
    });
    await proxy.send(GET);
    await proxy.whenFinished();
    expect(proxy.errors).toMatchObject([
      { detail: "content-length", hint: expect.stringContaining("remove that field") },
    ]);
  });

  test("an upstream that sends interim heads without end is cut off", async () => {
    await using origin = await startOrigin(async (connection) => {
      await connection.message();
      for (let turn = 0; turn < 1000; turn++) connection.send("HTTP/1.1 102 Processing\r\n\r\n");
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(GET);
    for (let turn = 0; turn < 100; turn++) await client.upTo("HTTP/1.1 102 Processing\r\n\r\n");
    expect((await client.message()).status).toBe(502);
  });

  test("a client that leaves while a hook takes its time ends the request", async () => {
    await using origin = await answering(OK);
    const { promise: entered, resolve } = Promise.withResolvers<void>();
    await using proxy = await startProxy({
      origin,
      requestFilter: () => {
        resolve();
        return new Promise(() => undefined);
      },
    });
    const client = await proxy.send(GET);
    await entered;
    client.close();
    expect((await proxy.whenFinished()).error).toMatchObject({ source: "downstream" });
  });
});
