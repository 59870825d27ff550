// What counting costs a request: `node packages/prometheus/bench/request-cost.bench.ts`. Prints nanoseconds per request, for the messages
// of one that goes to an upstream on a connection of the pool: nobody listens; somebody listens and does nothing; our counters; the
// same counters by prom-client's own classes.
import { strictEqual } from "node:assert";
import { eventChannel, upstreamChannels, type EventChannel } from "@sluice/core";
import { Counter, Histogram, Registry } from "prom-client";
import { nanosecondsEach, printLine } from "../../core/bench/median.ts";
import { countClientConnections, countUpstreamConnections } from "../src/connection-metrics.ts";
import { DURATION_BUCKETS } from "../src/histogram.ts";
import type { RequestEnd } from "../src/messages.ts";
import { countRequests } from "../src/request-metrics.ts";

const ROUNDS = 200_000;

const requestStart = eventChannel<object>("sluice:proxy:request-start");
const requestEnd = eventChannel<RequestEnd>("sluice:proxy:request-end");
const { connected, pooled } = upstreamChannels as unknown as Record<"connected" | "pooled", EventChannel<object>>;

const session = {
  request: { version: "1.1" },
  isSubrequest: false,
  wasUpgraded: false,
  downstream: { requestBodyBytes: 120 },
};
const [peer, digest, pool] = [{}, {}, { idleCount: 1 }];
let at = 1000;

/** As the proxy and its connector do it: a message is made only for somebody who listens. */
function request(): void {
  at += 3;
  if (requestStart.hasSubscribers) requestStart.publish({ session, ctx: undefined });
  if (connected.hasSubscribers) connected.publish({ address: "a:1", peer, reused: true, digest, connectMs: 0, pool });
  if (pooled.hasSubscribers) pooled.publish({ address: "a:1", digest });
  if (!requestEnd.hasSubscribers) return;
  const outcome = { status: 200, sent: 1024, how: "complete" };
  const timing = {
    acceptedAtMs: 0,
    headReadAtMs: at,
    peerChosenAtMs: at + 0.2,
    connectedAtMs: at + 0.2,
    requestHeadSentAtMs: at + 0.3,
    requestSentAtMs: at + 0.4,
    responseHeadAtMs: at + 1.2,
    responseEndAtMs: at + 2.1,
    endedAtMs: at + 2.2,
    connectMs: 0,
    upstreamWritePendingMs: 0,
    delayedMs: 0,
  };
  requestEnd.publish({ session, ctx: undefined, error: undefined, outcome, timing } as RequestEnd);
}

/** The work of our counters, by the classes that prom-client has for it. */
function countByClient(registry: Registry): () => void {
  const registers = [registry];
  const counter = (name: string, ...labelNames: string[]): Counter =>
    new Counter({ name, help: name, labelNames, registers });
  const requests = counter("requests_total", "protocol", "status_class");
  const outcomes = counter("outcomes_total", "outcome");
  const [received, sent, uses] = [
    counter("received_total"),
    counter("sent_total"),
    counter("uses_total", "connection"),
  ];
  const buckets = [...DURATION_BUCKETS];
  const total = new Histogram({ name: "total", help: "total", buckets, registers });
  const phases = new Histogram({ name: "phases", help: "phases", labelNames: ["phase"], buckets, registers });
  const onConnected = (): void => uses.inc({ connection: "pooled" });
  const onEnd = (message: unknown): void => {
    const { session: of, outcome, timing } = message as RequestEnd;
    const statusClass = `${Math.floor(outcome.status / 100)}xx`;
    requests.inc({ protocol: `HTTP/${of.request.version}`, status_class: statusClass });
    outcomes.inc({ outcome: outcome.how });
    received.inc(of.downstream.requestBodyBytes);
    sent.inc(outcome.sent);
    total.observe((timing.endedAtMs! - timing.headReadAtMs) / 1000);
    phases.observe({ phase: "choose" }, (timing.peerChosenAtMs! - timing.headReadAtMs) / 1000);
    phases.observe({ phase: "send" }, (timing.requestSentAtMs! - timing.connectedAtMs!) / 1000);
    phases.observe({ phase: "wait" }, (timing.responseHeadAtMs! - timing.requestSentAtMs!) / 1000);
    phases.observe({ phase: "receive" }, (timing.responseEndAtMs! - timing.responseHeadAtMs!) / 1000);
  };
  return subscribeAll([
    [connected, onConnected],
    [requestEnd, onEnd],
  ]);
}

function subscribeAll(
  pairs: readonly (readonly [{ readonly name: string }, (message: unknown) => void])[],
): () => void {
  // `observe` guards its listeners, which is part of what is measured; here nobody throws.
  const channels = pairs as unknown as readonly [Subscribable, (message: unknown) => void][];
  for (const [channel, listener] of channels) channel.subscribe(listener);
  return () => {
    for (const [channel, listener] of channels) channel.unsubscribe(listener);
  };
}

interface Subscribable {
  subscribe(listener: (message: unknown) => void): void;
  unsubscribe(listener: (message: unknown) => void): void;
}

/** What the requests of a run add to a counter says whether they were counted. */
async function counted(registry: Registry, name: string): Promise<number> {
  const families = await registry.getMetricsAsJSON();
  const values = families.find((family) => family.name === name)!.values;
  return values.reduce((sum, { value }) => sum + value, 0);
}

printLine("nobody listens", nanosecondsEach(ROUNDS, request), "request");

const nothing = (): void => undefined;
const stopNothing = subscribeAll([requestStart, connected, pooled, requestEnd].map((channel) => [channel, nothing]));
printLine("somebody listens and does nothing", nanosecondsEach(ROUNDS, request), "request");
stopNothing();

const ours = new Registry();
const stops = [countRequests(ours), countUpstreamConnections(ours), countClientConnections(ours)];
request();
strictEqual(await counted(ours, "sluice_requests_total"), 1);
printLine("counted", nanosecondsEach(ROUNDS, request), "request");
strictEqual((await counted(ours, "sluice_requests_total")) % ROUNDS, 1);
for (const stop of stops) stop();

const theirs = new Registry();
const stop = countByClient(theirs);
printLine("counted by prom-client's classes", nanosecondsEach(ROUNDS, request), "request");
strictEqual((await counted(theirs, "requests_total")) % ROUNDS, 0);
stop();

const scrapes = new Registry();
const stopScrapes = [countRequests(scrapes), countUpstreamConnections(scrapes), countClientConnections(scrapes)];
const startMs = performance.now();
for (let round = 0; round < 200; round++) await scrapes.getMetricsAsJSON();
printLine("values for a scrape", ((performance.now() - startMs) * 1e6) / 200, "scrape");
for (const end of stopScrapes) end();
