import { expect, test, vi } from "vitest";
import { Generations } from "./support/generations.ts";
import { Http2Load } from "./support/http2-load.ts";
import type { Outcome } from "./support/client.ts";
import { Load } from "./support/load.ts";
import { isGood, pageCalls } from "./support/page-load.ts";
import { SlowUploads } from "./support/slow-uploads.ts";
import { until } from "./support/wait.ts";
import { Talk, WebSockets } from "./support/web-sockets.ts";

// Many processes start here.
vi.setConfig({ testTimeout: 120_000 });

const UPGRADES = Number(process.env["SLUICE_UPGRADES"] ?? 20);
const UPLOAD_MS = Number(process.env["SLUICE_UPLOAD_MS"] ?? 1500);
/** Requests between two upgrades, so that each server serves. */
const REQUESTS = 100;

/** Less than the second after which a server that stops takes a client for idle: the two look at different clocks. */
const SILENT_MS = 900;

test.for([
  { threads: 1, upgrades: UPGRADES },
  // Three processes for each: fewer do.
  { threads: 2, upgrades: Math.ceil(UPGRADES / 4) },
])(
  `$upgrades upgrades under load with threads: $threads: no request, no upload of ${UPLOAD_MS} ms and no WebSocket fails, over TLS and HTTP/2 either`,
  { timeout: 60_000 + UPGRADES * (10_000 + UPLOAD_MS) },
  async ({ threads, upgrades }, { annotate }) => {
    const conf = { threads, grace_period_seconds: Math.ceil(UPLOAD_MS / 1000) + 20 };
    await using generations = await Generations.start({ conf, addresses: ["127.0.0.1:0", "tls:127.0.0.1:0"] });
    const { port } = generations;
    const tlsPort = Number(generations.current.addresses[1]!.split(":").at(-1));
    const loads = [
      new Load({ port, clients: 8, next: pageCalls(4) }),
      new Load({ port, clients: 8, next: pageCalls(4), thinkMs: 100 }),
      new Load({ port, clients: 4, next: pageCalls(4), once: true }),
      new Load({ port: tlsPort, clients: 4, next: pageCalls(4), thinkMs: 50, secure: true }),
      new Load({ port: tlsPort, clients: 2, next: pageCalls(4), once: true, secure: true }),
    ];
    const http2 = new Http2Load(tlsPort, 3, pageCalls(4));
    const uploads = [new SlowUploads(port, 4, UPLOAD_MS), new SlowUploads(tlsPort, 2, UPLOAD_MS, true)];
    const sockets = [new WebSockets(port, 4, UPLOAD_MS), new WebSockets(tlsPort, 2, UPLOAD_MS, true)];
    const slow = [...uploads, ...sockets];
    const outcomes = () => loads.flatMap((load) => load.outcomes);
    const served = async (): Promise<void> => {
      const enough = outcomes().length + REQUESTS;
      await until(() => outcomes().length >= enough);
    };
    await served();
    for (let round = 0; round < upgrades; round++) {
      await generations.upgrade();
      await served();
    }
    await Promise.all([...loads, ...slow, http2].map((each) => each.stop()));
    generations.current.signal("SIGTERM");

    await annotate(
      `${JSON.stringify(loads.map(({ summary }) => summary))}, HTTP/2: ${http2.done}, ${http2.sentAway} connections ` +
        `sent away, uploads: ${uploads.map(({ done }) => done).join(" + TLS ")}, WebSockets: ${sockets.map(({ done }) => done).join(" + TLS ")}`,
    );
    const failed = outcomes().filter((outcome) => !isGood(outcome));
    // Of a connection that was silent for a second, client and server may each think that it is idle (RFC 9112, section 9.6). No client
    // here waits that long; on a machine that is busy with other things it happens.
    const excused = ({ end, silentMs }: Outcome): boolean => end === "unanswered" && silentMs >= SILENT_MS;
    expect(failed.filter((outcome) => !excused(outcome)).map(told)).toEqual([]);
    expect(failed.length).toBeLessThan(upgrades);
    expect([...slow, http2].flatMap(({ failures }) => failures)).toEqual([]);
    expect(slow.filter(({ done }) => done === 0)).toEqual([]);
    expect(http2.sentAway).toBeGreaterThanOrEqual(upgrades);
    expect(await Promise.all(generations.all.map(({ exited }) => exited))).toEqual(generations.all.map(() => 0));
  },
);

/** All that is known of a request that failed, in one line. */
function told({ method, target, end, code, status, silentMs, startedAt, endedAt, body }: Outcome): string {
  const what = `${end} ${code ?? status}, ${body.length} bytes after ${Math.round(endedAt - startedAt)} ms`;
  return `${method} ${target}: ${what}, on a connection that was silent for ${Math.round(silentMs)} ms`;
}

test("a WebSocket lives as long as the grace period of its server, whoever has taken over", async () => {
  await using generations = await Generations.start({ conf: { grace_period_seconds: 2 } });
  const old = generations.current;
  const talk = await Talk.begin(generations.port);
  await generations.upgrade();
  let said = 0;
  const saying = (async () => {
    for (;;) {
      await talk.say();
      said++;
    }
  })();
  await expect(saying).rejects.toThrow(/ended with/);
  expect(said).toBeGreaterThan(100);
  await old.reaches("ShutdownRuntimes");
  expect(await old.exited).toBe(0);
  await using again = await Talk.begin(generations.port);
  await again.say();
});
