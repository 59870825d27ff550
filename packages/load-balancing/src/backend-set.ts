import { isDeepStrictEqual } from "node:util";
import { logger } from "@sluice/core";
import { BackendState } from "./backend-state.ts";
import { Backend, type BackendInput } from "./backend.ts";
import type { DiscoveryResult } from "./discovery.ts";
import type { Selection, Selector } from "./selection.ts";

const log = logger("load-balancing");

/** The backends of one moment with their states, and the selector built for them. Replaced as a whole. */
export interface BackendSet {
  readonly backends: readonly Backend[];
  /** In the order of `backends`; the indexes of the selector. */
  readonly states: readonly BackendState[];
  readonly byAddress: ReadonlyMap<string, BackendState>;
  /** `undefined` when there are no backends. */
  readonly selector: Selector | undefined;
  /** Addresses that the discovery named more than once. */
  readonly duplicates: ReadonlySet<string>;
}

export const EMPTY_SET: BackendSet = {
  backends: [],
  states: [],
  byAddress: new Map(),
  selector: undefined,
  duplicates: new Set(),
};

/**
 * The set after a discovery. Addresses that stay keep their state. If nothing but flags changed, the selector stays, so
 * that its turns go on; a change of order, of a weight or of `ext` (compared in depth) builds a new one.
 *
 * Throws what reading the backends or building the selector throws; then nothing has changed.
 */
export function nextBackendSet(old: BackendSet, result: DiscoveryResult, selection: Selection): BackendSet {
  const { backends, duplicates } = readBackends(old, result.backends);
  const same = backends.length === old.backends.length && backends.every((one, index) => one === old.backends[index]);
  const selector = same ? old.selector : backends.length === 0 ? undefined : selection(backends);
  // From here on nothing throws, for states are shared with the old set.
  const byAddress = new Map<string, BackendState>();
  const states = backends.map((backend) => {
    const address = backend.address.text;
    const state = old.byAddress.get(address) ?? new BackendState(backend);
    state.backend = backend;
    state.enableByDiscovery(result.enabled?.get(address) ?? true);
    byAddress.set(address, state);
    return state;
  });
  for (const address of duplicates) {
    if (!old.duplicates.has(address))
      log.warn({ backend: address }, "discovery names a backend twice; the first counts");
  }
  return { backends, states, byAddress, selector, duplicates };
}

/** Distinct backends in order; one that is as before is the same object as before. */
function readBackends(
  old: BackendSet,
  inputs: readonly BackendInput[],
): { backends: readonly Backend[]; duplicates: Set<string> } {
  const byAddress = new Map<string, Backend>();
  const duplicates = new Set<string>();
  for (const input of inputs) {
    const backend = Backend.from(input);
    const address = backend.address.text;
    if (byAddress.has(address)) {
      duplicates.add(address);
      continue;
    }
    const before = old.byAddress.get(address)?.backend;
    const unchanged = before?.weight === backend.weight && isDeepStrictEqual(before.ext, backend.ext);
    byAddress.set(address, unchanged ? before : backend);
  }
  return { backends: Object.freeze([...byAddress.values()]), duplicates };
}
