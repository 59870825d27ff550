import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { setBufferSizes } from "../../packages/linux/src/index.ts";
import { HttpPeer, type PeerOptions } from "../../packages/proxy/src/index.ts";
import { Origin } from "../../packages/proxy/test/support/origin.ts";
import { TestProxy } from "../../packages/proxy/test/support/proxy.ts";
import { WireEnded } from "../../packages/proxy/test/support/wire.ts";
import { opensslTls } from "../../packages/tls-openssl/src/index.ts";
import { CERTIFICATE, LEGS, peerOptions, PLAIN, type Leg } from "../matrix/legs.ts";
import { Http1Client } from "./http1-client.ts";
import { http1Origin } from "./http1-origin.ts";
import { Http2Client } from "./http2-client.ts";
import { Http2Origin } from "./http2-origin.ts";
import type { Hooks } from "./plan.ts";
import { randomApp } from "./random-app.ts";
import { World } from "./world.ts";

/** For each leg, set of hooks and size of buffers; unless it is asked for, few, and not for all. */
const ASKED_FOR = process.env["SLUICE_RANDOM_EXCHANGES"];
const SEED = Number(process.env["SLUICE_RANDOM_SEED"] ?? 1);
const CLIENTS = 6;
/** Small, so that most writes have to wait for the other side. Bytes. */
const SMALL_BUFFER = 8192;
/** An exchange that takes longer hangs: the plans wait for milliseconds. */
const HANGS_AFTER_MS = 15_000;

const ALL_HOOKS = "with filters and modules";
const NONE: Hooks = { requestBody: false, upstreamResponseBody: false, responseBody: false, module: false };
const HOOKS: Record<string, Hooks> = {
  "without body hooks": NONE,
  "with filters of the response body": { ...NONE, responseBody: true },
  "with filters of both bodies": { ...NONE, requestBody: true, upstreamResponseBody: true, responseBody: true },
  "with modules": { ...NONE, module: true },
  [ALL_HOOKS]: { requestBody: true, upstreamResponseBody: true, responseBody: true, module: true },
};

interface Run {
  readonly leg: Leg;
  readonly hooks: Hooks;
  readonly smallBuffers: boolean;
  readonly smallWindows: boolean;
  readonly losesConnections: boolean;
  readonly exchanges: number;
}

/** Of `node:net`, when a server listens. */
const LISTENING = "tracing:net.server.listen:asyncEnd";

/** Whoever listens from now on accepts sockets with small buffers in the system. */
function acceptSmall(): Disposable {
  const shrink = (message: unknown): void => {
    setBufferSizes((message as { server: Server }).server, { sendBytes: SMALL_BUFFER, receiveBytes: SMALL_BUFFER });
  };
  subscribe(LISTENING, shrink);
  return { [Symbol.dispose]: () => unsubscribe(LISTENING, shrink) };
}

/** Windows of the proxy, so small that bodies have to wait for them, and few streams on a connection, for a while only. */
const SMALL_WINDOWS = { streamWindowBytes: 2000, connectionWindowBytes: 65_535 };
const SMALL_PEER: PeerOptions = {
  h2StreamWindowBytes: 65_535,
  h2ConnectionWindowBytes: 65_535,
  maxH2Streams: 5,
  maxRequests: 40,
};

function startProxy(world: World, address: string, { hooks, leg, smallWindows }: Run): Promise<TestProxy<object>> {
  const http2 = { h2c: true, maxResets: 1e9, maxControlFrames: 1e9, ...(smallWindows && SMALL_WINDOWS) };
  return TestProxy.start(
    {
      origin: new HttpPeer(address, { ...peerOptions(leg), ...(smallWindows && SMALL_PEER) }),
      ...(randomApp(hooks, world.planOfTarget, world.failures) as object),
    },
    { tls: opensslTls(), maxAttempts: 20, http2 },
    {},
    (service) =>
      leg.tls ? service.listenTls("127.0.0.1:0", { certificates: [CERTIFICATE] }) : service.listenTcp("127.0.0.1:0"),
    leg,
  );
}

/** Fails instead of waiting for ever, and says for whom. */
async function orHang(world: World, all: Promise<unknown>, what: () => string): Promise<void> {
  const stop = new AbortController();
  let since = performance.now();
  let before = "";
  const watch = async (): Promise<void> => {
    for (;;) {
      await delay(200, undefined, { signal: stop.signal });
      const now = [...world.waiting].join();
      if (now !== before) since = performance.now();
      before = now;
      if (performance.now() - since > HANGS_AFTER_MS)
        throw new Error(`${what()}; they wait: ${now}; ${world.failures.join("; ")}`);
    }
  };
  const watching = watch();
  watching.catch(() => undefined);
  try {
    await Promise.race([all, watching]);
  } finally {
    stop.abort();
  }
}

/** Gives what is wrong. */
async function play(run: Run): Promise<string[]> {
  const { leg, hooks, smallBuffers, losesConnections, exchanges } = run;
  using _small = smallBuffers ? acceptSmall() : undefined;
  const world = new World(hooks, leg, losesConnections);
  await using origin = await (leg.upstream === 2 ? Http2Origin.start(world) : Origin.start(http1Origin(world), leg));
  await using proxy = await startProxy(world, origin.address, run);
  const each = Math.ceil(exchanges / CLIENTS);
  const Client = leg.downstream === 2 ? Http2Client : Http1Client;
  const clients = Array.from({ length: CLIENTS }, (_, index) =>
    new Client(world, proxy.port, smallBuffers ? SMALL_BUFFER : 0).play(SEED + index * each, each),
  );
  await orHang(world, Promise.all(clients), () => "an exchange hangs");
  const others = origin.failures.filter((failure) => !(failure instanceof WireEnded));
  const wrong = [...explained(world, proxy), ...world.miscounted(), ...others.map(String)];
  if (wrong.length > 0) return wrong;
  await orHang(world, nothingIsLeft(proxy, origin), () => {
    const { begun, finished, pool, service } = proxy;
    const upstream = `${openAt(origin)} upstream, of them ${pool.idleCount} idle`;
    const left = origin instanceof Http2Origin ? origin.unsettled.join("; ") : "";
    return `left: ${service.connectionCount} connections, ${begun - finished.length} requests, ${upstream}; ${left}`;
  });
  // One who leaves may do so before its head has been read.
  const leavers = Array.from({ length: each * CLIENTS }, (_, n) => world.planOf(SEED + n)).filter(
    ({ leaves }) => leaves,
  );
  const missing = each * CLIENTS - proxy.begun;
  const mayBeMissing = leavers.length + world.unanswered.size + world.abandoned.size;
  const lost = world.misserved(proxy.finished.map(({ session, error }) => ({ target: session.request.target, error })));
  return missing >= 0 && missing <= mayBeMissing ? lost : [`${proxy.begun} requests were begun`];
}

/** What failed, with what the proxy says of it. */
function explained({ failures }: World, { finished }: TestProxy<object>): string[] {
  const errors = new Map(finished.map(({ session, error }) => [session.request.target.slice(1), error]));
  return failures.map((failure) => {
    const error = errors.get(String(failure).split(":")[0]!);
    return error === undefined ? String(failure) : `${String(failure)}; the proxy: ${error.message}`;
  });
}

async function nothingIsLeft(proxy: TestProxy<object>, origin: Origin | Http2Origin): Promise<void> {
  while (proxy.service.connectionCount > 0 || proxy.finished.length < proxy.begun) await delay(5);
  if (origin instanceof Http2Origin) await origin.settled();
  // Whatever leads to the origin is idle, and found again.
  while (proxy.pool.idleCount !== openAt(origin)) await delay(5);
}

/** What holds the process up. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
}

function openAt(origin: Origin | Http2Origin): number {
  if (origin instanceof Http2Origin) return origin.openCount;
  return origin.connections.filter(({ closed, ended }) => !closed && !ended).length;
}

/** None: it is left out. */
function exchangesOf(leg: Leg, name: string, smallBuffers: boolean): number {
  if (ASKED_FOR !== undefined) return Number(ASKED_FOR);
  if (leg === PLAIN || !smallBuffers) return 24;
  return name === ALL_HOOKS ? 12 : 0;
}

describe.each(LEGS)("$name", (leg) => {
  describe.each(Object.keys(HOOKS).map((name, index) => [name, index] as const))("%s", (name, index) => {
    const sizes = ([false, true] as const).filter((smallBuffers) => exchangesOf(leg, name, smallBuffers) > 0);
    test.each(sizes.map((smallBuffers) => [smallBuffers ? "small" : "large", smallBuffers] as const))(
      "what comes is what was sent and what the hooks made of it; %s buffers",
      async (_size, smallBuffers) => {
        const losesConnections = (SEED + index + Number(smallBuffers)) % 2 === 0;
        const exchanges = exchangesOf(leg, name, smallBuffers);
        const smallWindows = (SEED + index) % 3 === 0;
        const timersBefore = timers();
        const run = { leg, hooks: HOOKS[name]!, smallBuffers, smallWindows, losesConnections, exchanges };
        expect(await play(run)).toEqual([]);
        // Those of the test itself are over within milliseconds.
        while (timers() > timersBefore) await delay(5);
      },
      30_000 + 300 * Number(ASKED_FOR ?? 0),
    );
  });
});
