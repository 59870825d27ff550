import { hasSubscribers } from "node:diagnostics_channel";
import http from "node:http";
import net from "node:net";
import { getClient } from "@sentry/node";
import { eventChannel } from "@sluice/core";
import { HttpPeer, ProxyError, RequestHeader } from "@sluice/proxy";
import { sentryReporter, type SentryOptions, type SentryReporter } from "@sluice/sentry";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { docTable } from "../../proxy/test/support/doc-table.ts";
import { Origin, refusedAddress } from "../../proxy/test/support/origin.ts";
import { get, startProxy, type TestApp } from "../../proxy/test/support/proxy.ts";
import { SentryServer } from "./support/sentry-server.ts";

let sentry: SentryServer;
let reporter: SentryReporter | undefined;

beforeEach(async () => {
  sentry = await SentryServer.start();
});

afterEach(async () => {
  await reporter?.close();
  reporter = undefined;
  await sentry[Symbol.asyncDispose]();
});

/** Long enough for any machine: what is tested is not how long it takes. */
const FLUSH_MS = 30_000;

function report(options: Partial<SentryOptions> = {}): SentryReporter {
  return (reporter = sentryReporter({ dsn: sentry.dsn, flushMs: FLUSH_MS, ...options }));
}

/** Requests, one after the other, through a proxy with this app. */
async function exchange(app: TestApp<object>, ...requests: string[]): Promise<void> {
  await using proxy = await startProxy(app);
  for (const [index, request] of (requests.length === 0 ? [get()] : requests).entries()) {
    const client = await proxy.send(request);
    await client.message();
    await proxy.whenFinished(index + 1);
  }
}

const throwing = (message = "boom"): TestApp<object> => ({
  requestFilter() {
    throw new Error(message, { cause: new TypeError("the reason") });
  },
});

test("an error in a hook is told with its stack, its cause, where it happened and the request", async () => {
  report({ environment: "staging", release: "shop@1.2.3", serverName: "edge-1" });
  await exchange(throwing(), get("/cart?token=abcdefgh", "X-Request-Id: r-1\r\n"));
  await reporter!.flush();
  const [event, ...others] = sentry.events;
  expect(others).toEqual([]);
  expect(event).toMatchObject({
    level: "error",
    platform: "node",
    environment: "staging",
    release: "shop@1.2.3",
    server_name: "edge-1",
    tags: {
      kind: "hook-error",
      phase: "requestFilter",
      type: "InternalError",
      source: "internal",
      pid: `${process.pid}`,
    },
    request: {
      method: "GET",
      url: "http://test/cart",
      headers: { host: "test", "x-request-id": "r-1" },
      query_string: "[filtered]×1",
    },
    contexts: { proxy: { phase: "requestFilter", protocol: "HTTP/1.1", tries: 0 } },
  });
  const values = event!.exception!.values;
  expect(values.map(({ type, value }) => [type, value])).toEqual([
    ["TypeError", "the reason"],
    ["Error", "boom"],
  ]);
  expect(values[1]!.mechanism).toMatchObject({ type: "sluice.hook-error", handled: true });
  const frame = values[1]!.stacktrace!.frames.at(-1)!;
  expect(frame.filename).toContain("reports.test.ts");
  expect(frame.context_line).toContain("throw new Error(message");
});

test("an envelope goes to the project of the DSN, with nothing but the event", async () => {
  report();
  await exchange(throwing());
  await reporter!.flush();
  expect(sentry.envelopes).toHaveLength(1);
  const [{ method, path, header, items }] = sentry.envelopes as [(typeof sentry.envelopes)[0]];
  expect([method, path]).toEqual(["POST", expect.stringMatching(/^\/api\/42\/envelope\/\?.*sentry_key=publickey/)]);
  expect(header["event_id"]).toBe(sentry.events[0]!.event_id);
  expect(items.map(({ type }) => type)).toEqual(["event"]);
});

test("what a hook throws that is no error is told without what it holds", async () => {
  report();
  await exchange({
    requestFilter() {
      // eslint-disable-next-line no-throw-literal, typescript/only-throw-error
      throw { password: "hunter2hunter2" };
    },
  });
  await reporter!.flush();
  expect(sentry.events[0]!.exception!.values.at(-1)).toMatchObject({ type: "ProxyError" });
  expect(sentry.raw).not.toContain("hunter2");
});

describe("secrets", () => {
  // Reports show lines of this file: no secret stands in one.
  const S = ["s3c", "r3t"].join("");
  const base64 = Buffer.from(`${S}-${S}`).toString("base64");
  const SECRETS = {
    Authorization: `Bearer ${S}-bearer`,
    "Proxy-Authorization": `Basic ${S}-basic`,
    Cookie: `session=${S}-session; other=${S}-other`,
    "X-Api-Key": `${S}-key`,
    Referer: `http://a.test/?${S}-referer`,
  };
  const fields = Object.entries(SECRETS).map(([name, value]) => `${name}: ${value}\r\n`);
  const target = `/cart?token=${S}%2Dquery&page=2&${S}-name&${base64}`;

  test("are not told, neither as they came nor in what an error says", async () => {
    report({ queryParameters: ["page"] });
    await exchange(
      {
        requestFilter(session) {
          const { request } = session;
          const all = [...request].map(([name, value]) => `${name}=${value}`).join(" ");
          throw new Error(`cannot: ${request.target} ${S}-query ${all} (${request.get("cookie")})`);
        },
      },
      get(target, fields.join("")),
    );
    await reporter!.flush();
    const [event] = sentry.events;
    expect(event!.exception!.values[0]!.value).toContain("cannot: /cart?[filtered]&page=2&[filtered]");
    expect(event!.request!.query_string).toBe("page=2&[filtered]×3");
    expect(Object.keys(event!.request!.headers!)).toEqual(["host"]);
    expect(sentry.raw).not.toContain(S);
    expect(sentry.raw).not.toContain(base64.slice(0, 8));
  });

  test("of a response are not told", async () => {
    report({ sample: { upstream: 1 } });
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(`HTTP/1.1 200 OK\r\nSet-Cookie: ${S}=1\r\nContent-Length: 10\r\n\r\n12`).close();
    });
    await exchange({ origin }).catch(() => undefined);
    await reporter!.flush();
    expect(sentry.raw).not.toContain(S);
  });

  test("in a path are the app's to strike out", async () => {
    report({ path: (path) => path.replace(/^\/reset\/.*/, "/reset/…") });
    await exchange(throwing(), get(`/reset/${S}`));
    await reporter!.flush();
    expect(sentry.events[0]!.request!.url).toBe("http://test/reset/…");
    expect(sentry.raw).not.toContain(S);
  });

  test("fields that hold them cannot be asked for", () => {
    expect(() => report({ requestFields: ["Cookie"] })).toThrow(/requestFields: cookie holds secrets/);
  });

  test("the client's address is told only when it is asked for", async () => {
    report({ clientAddress: true });
    await exchange(throwing());
    await reporter!.flush();
    expect(sentry.events[0]!.contexts!["proxy"]!["client"]).toMatch(/^127\.0\.0\.1:\d+$/);
    await reporter!.close();
    report();
    await exchange(throwing());
    await reporter!.flush();
    expect(sentry.events[1]!.contexts!["proxy"]).not.toHaveProperty("client");
  });

  test("a client cannot fill reports", async () => {
    report();
    await exchange(
      throwing(),
      `${"M".repeat(3000)} /${"p".repeat(5000)} HTTP/1.1\r\nHost: h\r\nUser-Agent: ${"u".repeat(5000)}\r\n\r\n`,
    );
    await reporter!.flush();
    const { request } = sentry.events[0]!;
    expect(JSON.stringify(request).length).toBeLessThan(2000);
  });
});

/** As much of a session as reports read. */
const hookless = {
  request: RequestHeader.build("GET", "/x", { Host: "test" }),
  phase: "exchange",
  tries: 1,
  peer: undefined,
  upstreamReused: false,
  isSubrequest: false,
  clientAddress: undefined,
};

describe("requests that failed", () => {
  async function failing(): Promise<TestApp<object>> {
    const peer = new HttpPeer(await refusedAddress());
    return { upstreamPeer: () => peer };
  }

  test("by the upstream's fault are not told, unless they are asked for", async () => {
    report();
    await exchange(await failing());
    await reporter!.flush();
    expect(sentry.events).toEqual([]);
    await reporter!.close();

    report({ sample: { upstream: 1 } });
    await exchange(await failing());
    await reporter!.flush();
    expect(sentry.events).toHaveLength(1);
    expect(sentry.events[0]).toMatchObject({
      level: "warning",
      tags: { kind: "request-failed", source: "upstream", type: "ConnectRefused" },
      fingerprint: ["request-failed", "upstream", "ConnectRefused", "failToProxy"].toSpliced(
        3,
        1,
        expect.any(String) as string,
      ),
      contexts: { proxy: { status: 502, peer: expect.stringContaining("127.0.0.1") as string, tries: 1 } },
    });
  });

  test("by our own fault are told, once, also when a hook's error caused it", async () => {
    report();
    await exchange({ upstreamPeer: () => Promise.reject(new RangeError("no such shop")) });
    await exchange({
      upstreamPeer() {
        throw ProxyError.internal("ConfigError", "no routes");
      },
    });
    await reporter!.flush();
    const told = sentry.events.map(({ tags, exception }) => [tags!["kind"], exception!.values.at(-1)!.type]);
    expect(told).toEqual([
      ["hook-error", "RangeError"],
      ["hook-error", "ProxyError"],
    ]);
  });

  test("by a hook that says which status it wants are not told", async () => {
    report({ sample: { upstream: 1, downstream: 1 } });
    await exchange({
      requestFilter() {
        throw ProxyError.httpStatus(403);
      },
    });
    await reporter!.flush();
    expect(sentry.events).toEqual([]);
  });

  test("are sampled", async () => {
    const random = vi.spyOn(Math, "random");
    report({ sample: { upstream: 0.25 } });
    const app = await failing();
    for (const value of [0.3, 0.2, 0.25, 0.24]) {
      random.mockReturnValue(value);
      await exchange(app);
    }
    random.mockRestore();
    await reporter!.flush();
    expect(sentry.events).toHaveLength(2);
  });
});

test("an error that comes again is told once, wherever it comes", async () => {
  report();
  const error = new Error("boom");
  await exchange({
    requestFilter() {
      throw error;
    },
  });
  process.emit("uncaughtExceptionMonitor", error, "uncaughtException");
  expect(reporter!.capture(error)).toBe(false);
  expect(reporter!.capture(new Error("around", { cause: error }))).toBe(false);
  await reporter!.flush();
  expect(sentry.events.map(({ tags }) => tags!["kind"])).toEqual(["hook-error"]);
});

describe("limits", () => {
  test("a fault that strikes each request is told a few times, and how often it was not", async () => {
    report({ maxAlikePerMinute: 3, maxPerMinute: 10 });
    await exchange(throwing(), ...Array.from({ length: 20 }, () => get()));
    await exchange({
      upstreamPeer() {
        throw new Error("another");
      },
    });
    await reporter!.flush();
    expect(sentry.events).toHaveLength(4);
    expect(sentry.events.at(-1)!.extra).toMatchObject({ not_reported_before: 17 });
  });

  test("hold for all together", async () => {
    report({ maxPerMinute: 2 });
    for (const name of ["a", "b", "c", "d"]) expect(reporter!.capture(name)).toBe(name < "c");
    await reporter!.flush();
    expect(sentry.events).toHaveLength(2);
  });

  test("leave room for what ends a process", async () => {
    report({ maxPerMinute: 1 });
    reporter!.capture(new Error("first"));
    reporter!.capture(new Error("second"));
    const uncaught = new Error("nobody caught it");
    process.emit("uncaughtExceptionMonitor", uncaught, "unhandledRejection");
    await reporter!.flush();
    const said = sentry.events.map(({ exception }) => exception!.values[0]!.value);
    // By two requests, of which either may be the first to arrive.
    expect(said.toSorted()).toEqual(["first", "nobody caught it"]);
    expect(sentry.events[said.indexOf("nobody caught it")]).toMatchObject({
      level: "fatal",
      tags: { kind: "uncaught", origin: "unhandledRejection" },
    });
  });

  test("Sentry's own are heeded", async () => {
    report();
    sentry.answer = (response) => void response.writeHead(429, { "Retry-After": "60" }).end();
    reporter!.capture(new Error("first"));
    await reporter!.flush();
    reporter!.capture(new Error("second"));
    await reporter!.flush();
    expect(sentry.envelopes).toHaveLength(1);
  });
});

test("a worker that crashed is told by the process that has started it, and one that was stopped is not", async () => {
  report();
  const ended = eventChannel<object>("sluice:worker:ended");
  const always = { worker: 2, pid: 4711, exitCode: null, livedMs: 5 };
  ended.publish({ ...always, cause: "stopped", signal: null, message: "" });
  ended.publish({ ...always, cause: "out-of-memory", signal: "SIGABRT", message: "the heap was full" });
  await reporter!.flush();
  expect(sentry.events).toHaveLength(1);
  expect(sentry.events[0]).toMatchObject({
    level: "fatal",
    tags: { kind: "worker-ended", cause: "out-of-memory" },
    contexts: { worker: { worker: 2, pid: 4711, signal: "SIGABRT" } },
    fingerprint: ["worker-ended", "out-of-memory"],
  });
  expect(sentry.events[0]!.exception!.values[0]!.value).toBe("worker 2 ended: out-of-memory (the heap was full)");
});

test("the app may change a report, or drop it", async () => {
  report({
    beforeSend: (event) =>
      event.exception?.values?.[0]?.value === "drop" ? null : { ...event, tags: { ...event.tags, mine: "yes" } },
  });
  reporter!.capture(new Error("drop"));
  reporter!.capture(new Error("keep"), { level: "info", tags: { part: "start-up" } });
  await reporter!.flush();
  expect(sentry.events).toHaveLength(1);
  expect(sentry.events[0]).toMatchObject({ level: "info", tags: { mine: "yes", part: "start-up", kind: "captured" } });
});

test("reports go through a proxy, if one is given", async () => {
  const asked: string[] = [];
  const proxy = http.createServer().on("connect", (request, client: net.Socket) => {
    asked.push(request.url!);
    const [host, port] = request.url!.split(":");
    const upstream = net.connect(Number(port), host, () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
    upstream.pipe(client).pipe(upstream);
    for (const socket of [upstream, client]) socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { port } = proxy.address() as net.AddressInfo;
  report({ proxy: `http://127.0.0.1:${port}` });
  reporter!.capture(new Error("boom"));
  await reporter!.flush();
  expect(sentry.events).toHaveLength(1);
  expect(asked).toEqual([new URL(sentry.dsn).host]);
  proxy.closeAllConnections();
  proxy.close();
});

test("nothing of Node is replaced or watched, and no client is made for the whole process", () => {
  const functions = (): unknown[] =>
    (
      [
        [http, "request"],
        [http, "createServer"],
        [http.Server.prototype, "emit"],
        [net.Socket.prototype, "connect"],
        [globalThis, "fetch"],
        [console, "error"],
        [process.stderr, "write"],
      ] as const
    ).map(([object, name]): unknown => Reflect.get(object, name));
  const before = functions();
  report();
  expect(functions()).toEqual(before);
  const watched = [
    "http.client.request.start",
    "http.server.request.start",
    "net.client.socket",
    "undici:request:create",
  ];
  expect(watched.filter((name) => hasSubscribers(name))).toEqual([]);
  expect(getClient()).toBeUndefined();
});

describe("its life", () => {
  test("init may be called again: what was reported is sent, and nothing is told twice", async () => {
    report();
    reporter!.capture(new Error("before"));
    reporter!.init();
    reporter!.capture(new Error("after"));
    await exchange(throwing("once"));
    await reporter!.flush();
    await sentry.event(3);
    expect(sentry.events.map(({ exception }) => exception!.values.at(-1)!.value).toSorted()).toEqual([
      "after",
      "before",
      "once",
    ]);
  });

  test("closed, it reports nothing and leaves nothing behind", async () => {
    const names = ["uncaughtException", "uncaughtExceptionMonitor", "beforeExit"];
    const counts = (): number[] => names.map((name) => process.listenerCount(name));
    const before = counts();
    report();
    expect(await reporter!.close()).toBe(true);
    expect(counts()).toEqual(before);
    expect(reporter!.capture(new Error("late"))).toBe(false);
    await exchange(throwing());
    expect(await reporter!.flush()).toBe(true);
    expect(sentry.envelopes).toEqual([]);
  });

  test("a server that does not answer is waited for no longer than was said", async () => {
    report({ flushMs: 50 });
    sentry.answer = () => undefined;
    reporter!.capture(new Error("boom"));
    expect(await reporter!.flush()).toBe(false);
    reporter!.capture(new Error("bang"));
    expect(await reporter!.close()).toBe(false);
  });

  test("what cannot be sent harms nobody", async () => {
    const gone = await SentryServer.start();
    const { dsn } = gone;
    await gone[Symbol.asyncDispose]();
    report({ dsn });
    expect(reporter!.capture(new Error("boom"))).toBe(true);
    expect(await reporter!.flush()).toBe(false);
  });
});

test.each<[Partial<SentryOptions>, RegExp]>([
  [{ dsn: "" }, /dsn: expected https:\/\/KEY@HOST\/PROJECT/],
  [{ dsn: undefined as never }, /dsn/],
  [{ dsn: "https://sentry.test/1" }, /dsn/],
  [{ dsn: "ftp://key@sentry.test/1" }, /dsn/],
  [{ dsn: "https://key@sentry.test/shop" }, /dsn/],
  [{ sample: { upstream: 2 } }, /sample.upstream: expected a share from 0 to 1, got 2/],
  [{ sample: { upstreams: 1 } as never }, /upstreams/],
  [{ maxPerMinute: -1 }, /maxPerMinute/],
  [{ maxAlikePerMinute: Number.NaN }, /maxAlikePerMinute/],
  [{ flushMs: 0 }, /flushMs/],
  [{ dns: "x" } as never, /dns/],
])("an option that cannot be is refused: %j", (options, message) => {
  expect(() => report(options)).toThrow(message);
});

test("the guide names every kind of report, with its level", async () => {
  report({ sample: { upstream: 1 }, maxAlikePerMinute: 100 });
  process.emit("uncaughtExceptionMonitor", new Error("a"), "uncaughtException");
  eventChannel<object>("sluice:worker:ended").publish({ worker: 1, pid: 1, cause: "killed", message: "" });
  const handover = eventChannel<object>("sluice:server:handover");
  handover.publish({ outcome: "handed-over", error: undefined });
  handover.publish({ outcome: "failed", error: new Error("nobody waits there") });
  await exchange(throwing());
  const session = { ...hookless, digest: {}, outcome: { status: 500, how: "complete" } };
  const end = eventChannel<object>("sluice:proxy:request-end");
  end.publish({ session, error: ProxyError.internal("SocketError", "no descriptors") });
  end.publish({ session, error: ProxyError.upstream("ReadError", "reset") });
  reporter!.capture(new Error("b"));
  await reporter!.flush();
  const told = sentry.events.map(({ tags, level }) => `${tags!["kind"]} ${level}`);
  const documented = (await docTable("sentry.md", "`kind`")).map(([kind, level]) => `${kind!.slice(1, -1)} ${level}`);
  expect(documented.toSorted()).toEqual(told.toSorted());
});

test("a DSN that cannot be read is not repeated", () => {
  expect(() => report({ dsn: "https://s3cr3t" })).not.toThrow(/s3cr3t/);
});
