import { ProxyError } from "@sluice/error";
import type { BackendSet } from "./backend-set.ts";
import type { BackendState } from "./backend-state.ts";

/** So many backends are named; the rest is a number. */
const MAX_NAMED = 10;

/** What is known when no backend could be selected. */
export interface NoPeerFacts {
  set: BackendSet;
  /** How many choices were looked at. */
  tried: number;
  /** Whether the caller had a say. */
  hadAccept: boolean;
  /** Whether a discovery has ever succeeded. */
  discovered: boolean;
  discoveryError: unknown;
}

/** `NoPeer`, source upstream, with a context that says why nothing could be selected. The proxy answers 503. */
export function noPeer(facts: NoPeerFacts): ProxyError {
  return ProxyError.upstream("NoPeer", reason(facts), facts.set.states.length === 0 ? facts.discoveryError : undefined);
}

function reason({ set: { states }, tried, hadAccept, discovered, discoveryError }: NoPeerFacts): string {
  if (states.length === 0) {
    if (discovered) return "no backends: the discovery returned an empty list";
    if (discoveryError !== undefined) return "no backends: the discovery failed";
    return "no backends: nothing was discovered yet; add the balancer's service() to the server, or await update()";
  }
  const names = describeAll(states);
  if (tried < states.length) return `limit reached: looked at ${tried} of ${states.length} backends: ${names}`;
  if (hadAccept) return `accept took none of ${states.length} backends: ${names}`;
  return `none of ${states.length} backends is ready: ${names}`;
}

function describeAll(states: readonly BackendState[]): string {
  const named = states.slice(0, MAX_NAMED).map((state) => `${state.backend.address.text} ${state.describe()}`);
  if (states.length > MAX_NAMED) named.push(`${states.length - MAX_NAMED} more`);
  return named.join(", ");
}
