import { shown } from "@sluice/core";
import { Backend, type BackendInput } from "./backend.ts";

/** What a discovery found. */
export interface DiscoveryResult {
  /**
   * All backends, in the order in which they are to be used. Of two with one address the first counts; the other is
   * logged. The previous set is replaced as a whole.
   */
  readonly backends: readonly BackendInput[];
  /**
   * By address text (`backend.address.text`), whether the backend may be selected. One that is left out is enabled, also
   * if an earlier result disabled it (Pingora documents that, but keeps it disabled). Unknown addresses are ignored.
   */
  readonly enabled?: ReadonlyMap<string, boolean>;
}

/** Where backends come from: a list, a file, DNS, a registry. */
export interface ServiceDiscovery {
  /**
   * Called at start and then at each update interval, never twice at a time. May be slow. Rejecting keeps the old set.
   * @param signal Aborts when the time for a discovery is over, or at shutdown; what comes later is ignored.
   */
  discover(signal: AbortSignal): Promise<DiscoveryResult>;
}

/**
 * Always the same backends.
 * @throws RangeError when two have the same address, or a weight is not valid; TypeError for a list that is none.
 * @throws ProxyError `ConnectError` when an address cannot be read.
 */
export function staticDiscovery(list: Iterable<BackendInput>): ServiceDiscovery {
  const result: DiscoveryResult = { backends: distinctBackends("staticDiscovery", list) };
  return { discover: () => Promise.resolve(result) };
}

/**
 * The backends of a list that somebody wrote by hand, where a repeated address is a mistake; throws as `staticDiscovery`.
 * @param what For the message: what was called.
 */
export function distinctBackends(what: string, list: Iterable<BackendInput>): Backend[] {
  if (typeof list === "string" || typeof list?.[Symbol.iterator] !== "function") {
    throw new TypeError(`${what}: expected a list of backends, got ${shown(list)}`);
  }
  const backends = Array.from(list, (input) => Backend.from(input));
  const seen = new Set<string>();
  for (const { address } of backends) {
    if (seen.has(address.text)) {
      throw new RangeError(`backend ${address.text} is listed twice; to give it a larger share, set its weight`);
    }
    seen.add(address.text);
  }
  return backends;
}
