import { defaultErrorWhileProxy, type ProxyHttp } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK, Origin, type OriginConnection } from "../support/origin.ts";
import { gate, get, startProxy, type TestProxy } from "../support/proxy.ts";
import type { Wire } from "../support/wire.ts";

// An upstream connection whose death we learn by a failed write. The origin resets it inside the hook that runs before the write,
// so that no event can tell of it earlier.

describe("an upstream connection that is dead when it is written to", () => {
  type Seen = [type: string, retry: unknown];
  /** By io_uring, which reads and writes at a time, either may tell first. */
  const DEAD =
    process.env["SLUICE_TEST_IO_URING"] === undefined ? "WriteError" : expect.stringMatching(/^(Read|Write)Error$/);
  /** What the last piece of a body ends with. */
  const LAST = 0x21;

  /**
   * A proxy whose upstream connection, warm or not, is reset by the origin before the proxy can know: in the hook before the head is
   * written, or in the one before the last piece of the body is.
   */
  async function dyingAt(
    moment: "head" | "body",
    options: { any?: boolean; hints?: boolean } = {},
  ): Promise<{ origin: Origin; proxy: TestProxy<object>; errors: Seen[]; bodies: Buffer[] } & AsyncDisposable> {
    const errors: Seen[] = [];
    const bodies: Buffer[] = [];
    const origin = await Origin.start(async (connection) => {
      for (;;) {
        const head = await connection.message({ toHead: true });
        if (options.hints && head.startLine.includes("/dies")) connection.send("HTTP/1.1 103 Early Hints\r\n\r\n");
        bodies.push(await connection.bytes(Number(head.field("content-length") ?? 0)));
        connection.send(OK);
      }
    });
    const proxy = await startProxy({
      origin,
      connectedToUpstream({ tries, request }) {
        if (moment === "head" && tries === 1 && request.path === "/dies") origin.connections.at(-1)!.reset();
      },
      requestBodyFilter({ tries, request }, piece) {
        if (moment !== "body" || tries > 1 || piece?.at(-1) !== LAST) return;
        if (request.path === "/dies") origin.connections.at(-1)!.reset();
      },
      errorWhileProxy(peer, session, error, _ctx, reused) {
        errors.push([error.type, error.retry]);
        return options.any ? error.decideReuse(reused) : defaultErrorWhileProxy(peer, session, error, reused);
      },
    });
    return {
      origin,
      proxy,
      errors,
      bodies,
      async [Symbol.asyncDispose]() {
        await proxy[Symbol.asyncDispose]();
        await origin[Symbol.asyncDispose]();
      },
    };
  }

  async function warm(proxy: TestProxy<object>): Promise<Wire> {
    const client = await proxy.send(get("/warm"));
    await client.message();
    return client;
  }

  test("and came from the pool: GET is sent again on a fresh one", async () => {
    await using setup = await dyingAt("head");
    const { proxy, origin, errors } = setup;
    const client = await warm(proxy);
    client.send(get("/dies"));
    expect((await client.message()).status).toBe(200);
    expect(errors).toEqual([[DEAD, "reusedOnly"]]);
    expect(origin.connections).toHaveLength(2);
    expect(proxy.logs).toMatchObject([{ level: 40, reused: true, tries: 1, phase: "exchange" }]);
  });

  test.each([false, true])("and came from the pool: POST is sent again only if the app says so (%s)", async (any) => {
    await using setup = await dyingAt("head", { any });
    const { proxy, errors, bodies } = setup;
    const client = await warm(proxy);
    client.send("POST /dies HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\nhello!");
    expect((await client.message()).status).toBe(any ? 200 : 502);
    expect(errors).toEqual([[DEAD, "reusedOnly"]]);
    expect(bodies.map((body) => body.toString())).toEqual(any ? ["", "hello!"] : [""]);
  });

  test("and is fresh: GET is not sent again", async () => {
    await using setup = await dyingAt("head");
    const client = await setup.proxy.send(get("/dies"));
    expect((await client.message()).status).toBe(502);
    expect(setup.errors).toEqual([[DEAD, "reusedOnly"]]);
    expect(setup.origin.connections).toHaveLength(1);
  });

  test.each([
    ["all is kept is sent again whole", 60_000, 200],
    ["not all is kept is not sent again", 70_000, 502],
  ])("in the middle of a body and came from the pool: PUT of which %s", async (_what, bytes, status) => {
    await using setup = await dyingAt("body");
    const { proxy, origin, errors, bodies } = setup;
    const client = await warm(proxy);
    const body = Buffer.alloc(bytes, "a");
    body[bytes - 1] = LAST;
    client.send(`PUT /dies HTTP/1.1\r\nHost: test\r\nContent-Length: ${bytes}\r\n\r\n`, body.subarray(0, -1));
    // All but the last byte is there.
    await expect.poll(() => origin.connections[0]!.peek().length, { interval: 1 }).toBe(bytes - 1);
    client.send(body.subarray(-1));
    expect((await client.message()).status).toBe(status);
    expect(errors).toEqual([[DEAD, "reusedOnly"]]);
    expect(bodies.slice(1).map((sent) => sent.equals(body))).toEqual(status === 200 ? [true] : []);
  });

  test("after an interim response and came from the pool: PUT is not sent again, for it was begun", async () => {
    await using setup = await dyingAt("body", { hints: true });
    const { proxy, origin, errors } = setup;
    const client = await warm(proxy);
    client.send("PUT /dies HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nabc");
    expect((await client.message()).status).toBe(103);
    client.send("!");
    expect((await client.message()).status).toBe(502);
    expect(errors).toEqual([[DEAD, false]]);
    expect(origin.connections).toHaveLength(1);
  });
});

describe("an early answer of an origin that then breaks the upload off", () => {
  const ANSWER = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big";
  const HEAD = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\n";

  /** An origin that has the start of the body, and the app that does something at the last piece, before it is written. */
  async function breaking(
    before: (connection: OriginConnection) => unknown,
    atLastPiece: (connection: OriginConnection) => unknown,
  ): Promise<{ origin: Origin; requestBodyFilter: ProxyHttp<object>["requestBodyFilter"] }> {
    const origin = await Origin.start(async (connection) => {
      await connection.upTo("abc");
      before(connection);
    });
    return {
      origin,
      requestBodyFilter(_session, piece) {
        if (piece?.at(0) === 0x21) atLastPiece(origin.connections[0]!);
      },
    };
  }

  test("is delivered, although we learn by a failed write that the connection is gone", async () => {
    const begun = gate();
    const { origin, requestBodyFilter } = await breaking(begun.open, (connection) => connection.send(ANSWER).reset());
    await using _origin = origin;
    await using proxy = await startProxy({ origin, requestBodyFilter: requestBodyFilter! });
    const client = await proxy.send(HEAD, "abc");
    await begun.opened;
    client.send("!!!");
    const { status, field, body } = await client.message();
    expect([status, field("connection"), body.toString()]).toEqual([413, undefined, "too big"]);
    expect(origin.connections).toHaveLength(1);
    expect(proxy.pool.idleCount).toBe(0);
  });

  test("is delivered, although a slow filter has it still when a write fails", async () => {
    const inside = gate();
    const filter = gate();
    const { origin, requestBodyFilter } = await breaking(
      (connection) => connection.send(ANSWER),
      (connection) => connection.reset(),
    );
    await using _origin = origin;
    await using proxy = await startProxy({
      origin,
      requestBodyFilter: requestBodyFilter!,
      async responseFilter() {
        inside.open();
        await filter.opened;
      },
    });
    const client = await proxy.send(HEAD, "abc");
    await inside.opened;
    client.send("!!!");
    await origin.connections[0]!.whenClosed();
    filter.open();
    const { status, body } = await client.message();
    expect([status, body.toString()]).toEqual([413, "too big"]);
  });
});
