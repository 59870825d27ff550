import { describe, expect, test } from "vitest";
import type { Outcome } from "./support/client.ts";
import { Cluster } from "./support/cluster.ts";
import { Load } from "./support/load.ts";
import type { ProxyEvent } from "./support/messages.ts";
import { idOf, isGood, pageCalls } from "./support/page-load.ts";
import { until } from "./support/wait.ts";

const KILLS = Number(process.env["SLUICE_RESILIENCE_ROUNDS"] ?? 20);
const STOPS = KILLS / 2;
const ORIGINS = 3;
const CLIENTS = 32;
const TIME_LIMIT_MS = Math.max(60_000, KILLS * 3000);

describe("an origin that ends under load and comes back", () => {
  test(
    `killed ${KILLS} times: only requests in flight on it fail, with 502 and a line that says why`,
    async ({ annotate }) => {
      await using cluster = await Cluster.start(ORIGINS, { healthCheckIntervalMs: 100, elsewhere: true });
      const { load, ends } = await runRounds(cluster, "SIGKILL", KILLS);
      await annotate(`${load.outcomes.length} requests: ${JSON.stringify(load.summary)}`);

      const failed = load.outcomes.filter((outcome) => !isGood(outcome));
      expect(failed.filter((outcome) => !wasInFlight(cluster, outcome))).toEqual([]);
      // What was not begun yet is answered; what was is cut.
      expect(failed.filter(({ end, status }) => !(end === "complete" ? status === 502 : end === "cut"))).toEqual([]);
      expectLines(cluster, failed);
      expectJobsOnce(cluster, load.outcomes);
      for (const end of ends) expectElsewhere(cluster.events, end);
    },
    TIME_LIMIT_MS,
  );

  // An origin that closes its listener resets connections that it had not accepted yet: those look new to the proxy, which by
  // itself sends nothing again that was lost on a new connection.
  test(
    `stopped ${STOPS} times: no GET fails, if the app sends them again`,
    async ({ annotate }) => {
      await using cluster = await Cluster.start(ORIGINS, {
        healthCheckIntervalMs: 100,
        elsewhere: true,
        getAgain: true,
      });
      const { load } = await runRounds(cluster, "SIGTERM", STOPS);
      await annotate(`${load.outcomes.length} requests: ${JSON.stringify(load.summary)}`);

      const failed = load.outcomes.filter((outcome) => !isGood(outcome));
      const failedGets = failed.filter(({ method }) => method === "GET");
      expect(failedGets.map((outcome) => cluster.requests.get(idOf(outcome)))).toEqual([]);
      expectLines(cluster, failed);
      expectJobsOnce(cluster, load.outcomes);
    },
    TIME_LIMIT_MS,
  );
});

/** An origin ended; times are counts of the events that the proxy had told. */
interface End {
  readonly peer: string;
  /** Before the signal. */
  readonly from: number;
  /** Its end was seen. */
  readonly to: number;
}

/** One origin after the other ends, under load, and comes back once the health checks have noticed. */
async function runRounds(
  cluster: Cluster,
  signal: "SIGKILL" | "SIGTERM",
  rounds: number,
): Promise<{ load: Load; ends: End[] }> {
  const load = new Load({ port: cluster.proxy.port, clients: CLIENTS, next: pageCalls(4) });
  const ends: End[] = [];
  for (let round = 0; round < rounds; round++) {
    const index = round % ORIGINS;
    const peer = cluster.peer(index);
    await until(() => isBusy(cluster.events.slice(ends.at(-1)?.from), peer));
    const from = cluster.events.length;
    expect(await cluster.stopOrigin(index, signal)).toBe(signal === "SIGKILL" ? signal : 0);
    ends.push({ peer, from, to: cluster.events.length });
    await until(() => healthEvent(cluster.events.slice(from), peer, false) >= 0);
    await cluster.startOrigin(index);
    await until(() => healthEvent(cluster.events.slice(from), peer, true) >= 0);
  }
  await load.stop();
  return { load, ends };
}

function isBusy(events: readonly ProxyEvent[], peer: string): boolean {
  const since = healthEvent(events, peer, true);
  return events
    .slice(since + 1)
    .some((event) => event.kind === "request" && event.status === 200 && event.peers.at(-1) === peer);
}

function healthEvent(events: readonly ProxyEvent[], peer: string, healthy: boolean): number {
  return events.findIndex((event) => event.kind === "health" && event.peer === peer && event.healthy === healthy);
}

function wasInFlight(cluster: Cluster, outcome: Outcome): boolean {
  const peer = cluster.requests.get(idOf(outcome))?.peers.at(-1);
  return cluster.stops.some(
    (stop) => stop.peer === peer && outcome.startedAt <= stop.to && outcome.endedAt >= stop.from,
  );
}

/** The second check that began after the end at the latest tells; from then on nothing goes there until it is back. */
function expectElsewhere(events: readonly ProxyEvent[], { peer, from, to }: End): void {
  const noticed = from + healthEvent(events.slice(from), peer, false);
  const checks = events.slice(to, noticed).filter((event) => event.kind === "check" && event.peer === peer);
  expect(checks.length).toBeLessThanOrEqual(2);
  const back = from + healthEvent(events.slice(from), peer, true);
  const tried = events.slice(noticed, back).filter((event) => event.kind === "attempt" && event.peer === peer);
  expect(tried).toEqual([]);
}

/** One line for each, which names peer, phase and cause. */
function expectLines(cluster: Cluster, failed: readonly Outcome[]): void {
  const lines = cluster.proxy.log.filter((line) => line["msg"] === "request failed");
  expect(lines.length).toBe(failed.length);
  for (const { method, target } of failed) {
    const line = lines.find(({ request }) => request === `${method} ${target}, Host: test`);
    expect(line).toMatchObject({
      level: 50,
      phase: expect.stringMatching(/^(connect|exchange)$/),
      peer: cluster.requests.get(idOf({ method, target }))!.peers.at(-1),
      error: expect.stringMatching(
        /^Upstream (Connect|Connection|Read|Write)\w+ .*(the upstream closed the connection|connecting to)/,
      ),
      hint: expect.any(String),
    });
  }
}

/** No job was done twice, and each that was answered was done. */
function expectJobsOnce(cluster: Cluster, outcomes: readonly Outcome[]): void {
  const { jobs } = cluster;
  const done = new Set(jobs);
  expect(jobs.length).toBe(done.size);
  const answered = outcomes.filter((outcome) => outcome.method === "POST" && isGood(outcome));
  expect(answered.map(idOf).filter((id) => !done.has(id))).toEqual([]);
}
