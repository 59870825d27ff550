import { setImmediate } from "node:timers/promises";
import { ProxyError, type ProxyHttp } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK, refusedAddress } from "../support/origin.ts";
import { gate, get, type TestApp, type TestProxy } from "../support/proxy.ts";
import type { Wire } from "../support/wire.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, closing, answering, startOrigin, startProxy, peerOf }) => {
  type Hook = keyof ProxyHttp<object>;

  const BOOM = "boom in a test";
  const makeError = {
    "an Error": () => new Error(BOOM),
    "ProxyError.httpStatus(418)": () => ProxyError.httpStatus(418, BOOM),
  };
  type Kind = keyof typeof makeError;
  const KINDS = Object.keys(makeError) as Kind[];
  const WAYS = ["thrown", "rejected"] as const;

  /** A hook that fails for requests to /bad, and only for them. */
  function failing(hook: Hook, kind: Kind, way: (typeof WAYS)[number]): TestApp<object> {
    return {
      [hook](...args: unknown[]) {
        const session = args.find((arg) => typeof arg === "object" && arg !== null && "request" in arg) as
          | { request: { target: string } }
          | undefined;
        if (session !== undefined && session.request.target !== "/bad") return undefined;
        if (way === "thrown") throw makeError[kind]();
        return setImmediate().then(() => Promise.reject(makeError[kind]()));
      },
    };
  }

  /** A client whose request is being answered, half way, while others fail. */
  async function bystander(proxy: TestProxy<object>): Promise<{ finish: () => Promise<void> }> {
    const client = await proxy.send("POST /bystander HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nha");
    return {
      async finish() {
        client.send("lf");
        const answer = await client.message();
        expect([answer.status, answer.body.toString(), answer.field("connection")]).toEqual([200, "ok", undefined]);
      },
    };
  }

  /** HTTP/2 need not close; the stream is over. */
  async function expectClosed(client: Wire): Promise<void> {
    if (leg.downstream === 2) return;
    expect((await client.rest()).toString()).toBe("");
    expect(client.ended).toBe(true);
  }

  const BEFORE_RESPONSE = [
    "earlyRequestFilter",
    "requestFilter",
    "upstreamPeer",
    "connectedToUpstream",
    "upstreamRequestFilter",
    "requestBodyFilter",
    "upstreamResponseFilter",
    "responseFilter",
  ] as const satisfies readonly Hook[];

  describe.each(BEFORE_RESPONSE)("%s", (hook) => {
    describe.each(WAYS)("%s", (way) => {
      test.each(KINDS)("%s fails this request alone, with its status, and is logged with its phase", async (kind) => {
        const origin = await answering(OK);
        await using _origin = origin;
        const app = failing(hook, kind, way);
        if (hook === "upstreamPeer") {
          const fail = app.upstreamPeer!;
          const peer = peerOf(origin.address);
          app.upstreamPeer = (session, ctx) => fail(session, ctx) ?? peer;
        }
        await using proxy = await startProxy({ origin, ...app });
        const other = await bystander(proxy);

        const client = await proxy.send("POST /bad HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
        const answer = await client.message();
        expect(answer.status).toBe(kind === "an Error" ? 500 : 418);
        expect(answer.body.toString()).toBe("");
        expect(answer.field("connection")).toBe(closing);
        await expectClosed(client);
        expect((await proxy.whenFinished()).error?.toString()).toContain(BOOM);
        expect(proxy.errors).toMatchObject([{ phase: hook, status: answer.status, msg: "request failed" }]);
        const [line] = proxy.errors;
        expect(line!["error"]).toContain(BOOM);
        if (kind === "an Error") {
          expect(line!["error"]).toContain(`thrown in ${hook}`);
          expect(line!["stack"]).toContain("hook-failures.test.ts");
        }

        await other.finish();
        const next = await proxy.send(get("/good"));
        expect((await next.message()).status).toBe(200);
      });
    });
  });

  test("newCtx that throws fails this request alone; without a context there is no logging, but there is a line", async () => {
    await using origin = await answering(OK);
    let calls = 0;
    await using proxy = await startProxy({
      origin,
      newCtx() {
        if (calls++ === 0) throw new Error(BOOM);
        return {};
      },
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(500);
    await expectClosed(client);
    expect(proxy.errors).toMatchObject([{ phase: "newCtx", status: 500, stack: expect.stringContaining(BOOM) }]);
    const next = await proxy.send(get());
    expect((await next.message()).status).toBe(200);
  });

  test("newCtx that fails with an error that is not answered ends the connection, and has its line", async () => {
    await using proxy = await startProxy({
      newCtx() {
        throw new ProxyError("ConnectionClosed", { source: "downstream" });
      },
    });
    const client = await proxy.send(get());
    expect((await client.rest()).toString()).toBe("");
    expect(proxy.errors).toMatchObject([{ msg: "request failed", phase: "newCtx", status: 0 }]);
  });

  test.each(KINDS)("failToConnect that throws %s decides the status", async (kind) => {
    await using proxy = await startProxy({
      origin: { address: await refusedAddress() },
      ...failing("failToConnect", kind, "thrown"),
    });
    const client = await proxy.send(get("/bad"));
    expect((await client.message()).status).toBe(kind === "an Error" ? 500 : 418);
    expect(proxy.errors).toMatchObject([{ phase: "failToConnect" }]);
  });

  test.each(KINDS)("errorWhileProxy that throws %s decides the status", async (kind) => {
    await using origin = await startOrigin(async (connection) => {
      await connection.message();
      connection.close();
    });
    await using proxy = await startProxy({ origin, ...failing("errorWhileProxy", kind, "thrown") });
    const client = await proxy.send(get("/bad"));
    expect((await client.message()).status).toBe(kind === "an Error" ? 500 : 418);
    expect(proxy.errors).toMatchObject([{ phase: "errorWhileProxy" }]);
  });

  test.each(["failToConnect", "errorWhileProxy"] as const)(
    "%s that forgets to return its error hides nothing",
    async (hook) => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.close();
      });
      await using proxy = await startProxy({
        origin: hook === "failToConnect" ? { address: await refusedAddress() } : origin,
        [hook]: () => undefined,
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(502);
      expect((await proxy.whenFinished()).error?.source).toBe("upstream");
    },
  );

  test("requestFilter that returns something without having answered is told so", async () => {
    await using proxy = await startProxy({ requestFilter: (() => true) as unknown as () => void });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors).toMatchObject([{ error: expect.stringContaining("session.respond") }]);
  });

  test.each(WAYS)("failToProxy that fails (%s) leaves the default answer, and both errors are logged", async (way) => {
    await using proxy = await startProxy({
      origin: { address: await refusedAddress() },
      ...failing("failToProxy", "an Error", way),
    });
    const client = await proxy.send(get("/bad"));
    expect((await client.message()).status).toBe(502);
    expect((await proxy.whenFinished()).error?.type).toBe("ConnectRefused");
    expect(proxy.errors).toMatchObject([
      { msg: "a hook failed", phase: "failToProxy", stack: expect.stringContaining(BOOM) },
      { msg: "request failed", phase: "connect", status: 502 },
    ]);
    expect(proxy.errors[0]).not.toHaveProperty("status");
  });

  test.each(["suppressErrorLog", "requestSummary"] as const)(
    "%s that throws costs nothing but itself",
    async (hook) => {
      await using proxy = await startProxy({
        origin: { address: await refusedAddress() },
        ...failing(hook, "an Error", "thrown"),
      });
      const client = await proxy.send(get("/bad"));
      expect((await client.message()).status).toBe(502);
      await proxy.whenFinished();
      expect(proxy.errors).toHaveLength(1);
    },
  );

  test.each(WAYS)("logging that fails (%s) is logged, and the connection goes on", async (way) => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin, ...failing("logging", "an Error", way) });
    const client = await proxy.send(get("/bad"));
    expect((await client.message()).status).toBe(200);
    client.send(get());
    expect((await client.message()).status).toBe(200);
    // The request has not failed: whoever counts those that have must not find it.
    expect(proxy.errors).toMatchObject([
      { msg: "a hook failed", phase: "logging", status: 200, stack: expect.stringContaining(BOOM) },
    ]);
  });

  describe.each(["upstreamResponseBodyFilter", "responseBodyFilter"] as const)(
    "%s that throws in the middle",
    (hook) => {
      const FIRST = "a".repeat(5000);
      const SECOND = "b".repeat(5000);
      const framings = {
        "Content-Length": {
          head: "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n",
          pieces: [FIRST, SECOND],
        },
        chunked: {
          head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
          pieces: [`1388\r\n${FIRST}\r\n`, `1388\r\n${SECOND}\r\n0\r\n\r\n`],
        },
      } as const;

      test.each(Object.keys(framings) as (keyof typeof framings)[])("cuts the response (%s)", async (name) => {
        const { head, pieces } = framings[name];
        const { opened, open } = gate();
        await using origin = await startOrigin(async (connection) => {
          await connection.message();
          connection.send(head, pieces[0]);
          await opened;
          connection.send(pieces[1]);
        });
        await using proxy = await startProxy({
          origin,
          [hook](_session: unknown, piece: Uint8Array | undefined) {
            if (piece !== undefined && Buffer.from(piece).includes("b")) throw new Error(BOOM);
          },
        });
        const client = await proxy.send(get());
        await client.upTo(FIRST);
        open();
        const rest = (await client.rest()).toString();
        expect(rest).not.toContain("b");
        expect(rest).not.toContain("0\r\n\r\n");
        const { error, session } = await proxy.whenFinished();
        expect([error?.type, session.responseStatus]).toEqual(["InternalError", 200]);
        expect(proxy.errors).toMatchObject([{ phase: hook, stack: expect.stringContaining(BOOM) }]);
        // By HTTP/2 the stream may have ended well before.
        if (leg.upstream === 1) await origin.connections[0]!.whenEnded();
      });

      test("at the end cuts the response, however small", async () => {
        await using origin = await answering(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        );
        await using proxy = await startProxy({
          origin,
          [hook](_session: unknown, _piece: unknown, end: boolean) {
            if (end) throw new Error(BOOM);
          },
        });
        const client = await proxy.send(get());
        const received = (await client.rest()).toString();
        expect(received).not.toContain("0\r\n\r\n");
        // What is known to be there is not kept from the client.
        expect(received).toContain("HTTP/1.1 200 OK\r\n");
        expect(received).toMatch(/\r\n5\r\nhello/);
      });
    },
  );

  test("a responseFilter that sets a Content-Length which is none is answered with 500", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({
      origin,
      responseFilter: (_session, response) => void response.set("content-length", "many"),
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(500);
    expect((await proxy.whenFinished()).error?.type).toBe("InvalidHTTPHeader");
  });

  test.each<[string, string, string]>([
    ["no length", "many", "POST"],
    ["a length where there is no body", "5", "GET"],
    ["more than the body has", "9", "POST"],
  ])(
    "an upstreamRequestFilter that sets a Content-Length of %s is answered with 500, and confuses no origin",
    async (_what, length, method) => {
      const seen: string[] = [];
      await using origin = await startOrigin(async (connection) => {
        seen.push((await connection.message()).startLine);
        connection.send(OK);
      });
      await using proxy = await startProxy({
        origin,
        upstreamRequestFilter(session, outgoing) {
          if (session.request.target === "/bad") outgoing.set("content-length", length);
        },
      });
      const body = method === "POST" ? "Content-Length: 2\r\n\r\nhi" : "\r\n";
      const client = await proxy.send(`${method} /bad HTTP/1.1\r\nHost: test\r\n${body}`);
      expect((await client.message()).status).toBe(500);
      // By HTTP/2 no stream was opened; by TLS the origin may not even have had the end of the handshake.
      if (leg.upstream === 1 && !leg.tls) await origin.connections[0]!.whenEnded();
      expect((await proxy.whenFinished()).error?.source).toBe("internal");
      const next = await proxy.send(get("/next"));
      expect((await next.message()).status).toBe(200);
      expect(seen).toEqual(["GET /next HTTP/1.1"]);
    },
  );

  test.each([["a string"], [undefined], [null], [{ status: 204 }]])(
    "a hook that throws %j is answered with 500",
    async (thrown) => {
      await using proxy = await startProxy({
        requestFilter() {
          throw thrown;
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(500);
      expect(proxy.errors).toMatchObject([
        { phase: "requestFilter", error: expect.stringContaining("thrown in requestFilter") },
      ]);
    },
  );

  test("a filter that writes a field that cannot be is answered with 500", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({
      origin,
      upstreamRequestFilter: (_session, outgoing) => void outgoing.set("x", "a\r\nInjected: 1"),
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors).toMatchObject([{ phase: "upstreamRequestFilter" }]);
  });

  test("a filter of the request and one of the response that fail together are one failure, with the phase of the first", async () => {
    const { opened, open } = gate();
    await using origin = await startOrigin(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.send(OK);
    });
    await using proxy = await startProxy({
      origin,
      requestBodyFilter: async () => {
        await opened;
        throw new Error("first");
      },
      responseFilter: async () => {
        open();
        await setImmediate();
        await setImmediate();
        throw new Error("second");
      },
    });
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n");
    await origin.connection();
    client.send("123");
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors).toMatchObject([{ phase: "requestBodyFilter", error: expect.stringContaining("first") }]);
  });
});
