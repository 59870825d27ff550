import { eventChannel, observe } from "@sluice/core";
import { DURATION_BUCKETS, Histogram } from "./histogram.ts";
import type { AttemptFailed, FailureReason, HookError, RequestEnd, RequestStart, RequestTiming } from "./messages.ts";
import type { Registry } from "./metric.ts";
import { Counter, Gauge, type Series } from "./series.ts";

const requestStart = eventChannel<RequestStart>("sluice:proxy:request-start");
const requestEnd = eventChannel<RequestEnd>("sluice:proxy:request-end");
const attemptFailed = eventChannel<AttemptFailed>("sluice:proxy:attempt-failed");
const hookError = eventChannel<HookError>("sluice:proxy:hook-error");

/** By the first digit of the status. `none`: the client was told nothing. */
const STATUS_CLASSES = ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "other"];
const CLASS_OTHER = 6;

/** What the parts of a request's time are called. */
const PHASES = ["choose", "connect", "send", "wait", "receive"] as const;

/**
 * Counts requests, their failures and their times, until the function that it returns is called. No label is made of what a client
 * sends: methods, paths and hosts are no labels, versions and statuses are few.
 */
export function countRequests(registry: Registry): () => void {
  const requests = new Counter(registry, "sluice_requests_total", "Requests that are over.", {
    labelNames: ["protocol", "status_class"],
  });
  const byProtocol = new Map<string, Series[]>();
  const seriesOf = (version: string): Series[] => {
    let series = byProtocol.get(version);
    if (series === undefined) {
      series = STATUS_CLASSES.map((statusClass) => requests.series(`HTTP/${version}`, statusClass));
      byProtocol.set(version, series);
    }
    return series;
  };
  // A counter that appears with its first event is one whose first event no rate shows.
  seriesOf("1.1");

  const subrequestCounter = new Counter(registry, "sluice_subrequests_total", "Requests that requests have made.", {
    labelNames: ["status_class"],
  });
  const subrequests = STATUS_CLASSES.map((statusClass) => subrequestCounter.series(statusClass));
  const outcomes = new Counter(registry, "sluice_request_outcomes_total", "How requests ended for their clients.", {
    labelNames: ["outcome"],
  });
  const byOutcome = new Map(["complete", "cut", "client-left", "not-sent"].map((how) => [how, outcomes.series(how)]));
  const inFlight = new Gauge(
    registry,
    "sluice_requests_in_flight",
    "Requests that have begun and are not over.",
  ).series();
  const received = new Counter(
    registry,
    "sluice_request_body_bytes_total",
    "Bytes of request bodies, as clients sent them.",
  ).series();
  const sent = new Counter(
    registry,
    "sluice_response_body_bytes_total",
    "Bytes of response bodies, as clients got them.",
  ).series();

  const total = new Histogram(
    registry,
    "sluice_request_duration_seconds",
    "Time from a request's head to the end of its response; without tunnels.",
    DURATION_BUCKETS,
  ).of();
  const phases = new Histogram(
    registry,
    "sluice_request_phase_seconds",
    "What the time of a request went to.",
    DURATION_BUCKETS,
    { name: "phase", values: PHASES },
  );
  const observePhases = phaseObserver(phases);

  const failures = failureCounter(registry, "sluice_request_failures_total", "Requests that failed for good.");
  const attempts = failureCounter(registry, "sluice_attempt_failures_total", "Attempts at an upstream that failed.");
  const retries = new Counter(registry, "sluice_retries_total", "Attempts that were made again.").series();
  const hookErrors = new Counter(registry, "sluice_hook_errors_total", "Errors in the code of the app, by hook.", {
    labelNames: ["phase"],
  });

  const stops = [
    observe(requestStart, ({ session }) => {
      if (!session.isSubrequest) inFlight.value++;
    }),
    observe(requestEnd, ({ session, error, outcome, timing }) => {
      const { status, how } = outcome;
      const digit = Math.floor(status / 100);
      const statusClass = digit <= 5 ? digit : CLASS_OTHER;
      // No client has sent it, and none waits for it: it is a part of the request that it was made for.
      if (session.isSubrequest) {
        subrequests[statusClass]!.value++;
        return;
      }
      // Some had begun before somebody counted.
      if (inFlight.value > 0) inFlight.value--;
      seriesOf(session.request.version)[statusClass]!.value++;
      (byOutcome.get(how) ?? outcomes.series(how)).value++;
      received.value += session.downstream.requestBodyBytes;
      sent.value += outcome.sent;
      if (error !== undefined) failures(error);
      const upgraded = session.wasUpgraded;
      if (!upgraded && timing.endedAtMs !== undefined) total.observe((timing.endedAtMs - timing.headReadAtMs) / 1000);
      observePhases(timing, upgraded);
    }),
    observe(attemptFailed, ({ error, retried }) => {
      attempts(error);
      if (retried) retries.value++;
    }),
    observe(hookError, ({ phase }) => void hookErrors.series(phase).value++),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

function phaseObserver(phases: Histogram<(typeof PHASES)[number]>): (timing: RequestTiming, upgraded: boolean) => void {
  const [choose, connect, send, wait, receive] = PHASES.map((phase) => phases.of(phase));
  return (timing, upgraded) => {
    const { peerChosenAtMs, connectedAtMs, requestHeadSentAtMs, requestSentAtMs, responseHeadAtMs, responseEndAtMs } =
      timing;
    if (peerChosenAtMs === undefined) return;
    choose!.observe((peerChosenAtMs - timing.headReadAtMs) / 1000);
    if (connectedAtMs === undefined) return;
    if (timing.connectMs! > 0) connect!.observe(timing.connectMs! / 1000);
    if (requestSentAtMs !== undefined) send!.observe((requestSentAtMs - connectedAtMs) / 1000);
    if (responseHeadAtMs === undefined) return;
    // An upstream may answer before it has the whole request.
    const early = requestSentAtMs === undefined || requestSentAtMs > responseHeadAtMs;
    wait!.observe((responseHeadAtMs - (early ? (requestHeadSentAtMs ?? connectedAtMs) : requestSentAtMs)) / 1000);
    if (!upgraded && responseEndAtMs !== undefined) receive!.observe((responseEndAtMs - responseHeadAtMs) / 1000);
  };
}

function failureCounter(registry: Registry, name: string, help: string): (error: FailureReason) => void {
  // Types are a closed list, but for those that an app makes up.
  const counter = new Counter(registry, name, help, { labelNames: ["source", "type"] });
  return ({ source, type }) => void counter.series(source, type).value++;
}
