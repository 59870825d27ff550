import { backgroundService, checkOptionNames, checkOptionType, shown, type Service } from "@sluice/core";
import { EMPTY_SET, nextBackendSet, type BackendSet } from "./backend-set.ts";
import type { BackendState } from "./backend-state.ts";
import type { Backend, BackendInput } from "./backend.ts";
import { balancerTask } from "./balancer-task.ts";
import { balancerChannels } from "./channels.ts";
import { checkCount, checkMs } from "./check-option.ts";
import { distinctBackends, type DiscoveryResult, type ServiceDiscovery } from "./discovery.ts";
import type { HealthCheck } from "./health-check.ts";
import { runHealthRound } from "./health-round.ts";
import { noPeer } from "./no-peer.ts";
import { roundRobin } from "./round-robin.ts";
import type { Selection } from "./selection.ts";
import { within } from "./within.ts";

/** How many health checks run at a time, so that a large set does not start with a storm of connections. */
const PARALLEL_CHECKS = 32;
const DEFAULT_DISCOVERY_TIMEOUT_MS = 10_000;

const { updated, updateFailed, checked, retired } = balancerChannels;

/** Options of every balancer. */
export interface LoadBalancerOptions {
  /** What metrics call it; two of one name count as one. Default `load balancer`. */
  name?: string;
  /** How to choose. Default {@link roundRobin}. */
  selection?: Selection;
  /** How backends are probed. Default: not at all, and all count as healthy. */
  healthCheck?: HealthCheck;
  /**
   * Longest time from the start of one round of checks to that of the next; each is up to 10 % shorter, at random.
   * Milliseconds. Default: one round, at the start of the service. Has to go with `healthCheck`.
   */
  healthCheckIntervalMs?: number;
  /**
   * The balancer that this one takes the place of: a backend that is in both begins with what that one knows of it, instead of as
   * healthy and enabled. Its health counts only with a `healthCheck`, which can find it well again. Default: none.
   */
  successorOf?: LoadBalancer;
  /** Check up to 32 backends at a time, which is the default, or one after the other (Pingora's default). */
  parallelHealthChecks?: boolean;
}

/** Options of a balancer with a discovery of its own. */
export interface DiscoveringLoadBalancerOptions extends LoadBalancerOptions {
  discovery: ServiceDiscovery;
  /**
   * Longest time from the start of one discovery to that of the next; each is up to 10 % shorter, at random.
   * Milliseconds. Default: one discovery, at the start of the service.
   */
  updateIntervalMs?: number;
  /** Time for one discovery; after that it counts as failed. Milliseconds. Default 10,000. */
  discoveryTimeoutMs?: number;
}

export interface SelectOptions {
  /**
   * Decides about each choice in turn, until it returns true; `ready`: healthy and enabled. For instance to skip those
   * that failed for this request, or to accept an unhealthy one rather than none. Default: `ready`.
   */
  accept?: (backend: Backend, ready: boolean) => boolean;
  /** How many backends to look at, at most. Default: all. */
  maxIterations?: number;
}

/** A backend, or what else has its address: states go by address. */
export type BackendRef = Pick<Backend, "address">;

/**
 * One cluster of backends: knows which are healthy and whose turn it is. It neither connects nor retries: the proxy makes
 * a peer of what `select` returns.
 *
 * Each process has its own turns and makes its own checks.
 */
export class LoadBalancer {
  readonly name: string;
  readonly #selection: Selection;
  readonly #discovery: ServiceDiscovery;
  readonly #discoveryTimeoutMs: number;
  readonly #updateIntervalMs: number | undefined;
  readonly #healthCheck: HealthCheck | undefined;
  readonly #healthCheckIntervalMs: number | undefined;
  readonly #concurrency: number;
  /** Until it was asked. */
  #before: LoadBalancer | undefined;
  #set: BackendSet = EMPTY_SET;
  #discovered = false;
  #discoveryError: unknown;
  #updating: Promise<void> = Promise.resolve();

  /**
   * A balancer that has no backends until `update` has run, by its service or by hand.
   * @throws RangeError when a number is out of its range.
   * @throws TypeError for an option that is not known or of another type, and for an interval for health checks without a health
   * check.
   */
  constructor(options: DiscoveringLoadBalancerOptions) {
    checkOptions(options);
    const { healthCheck, healthCheckIntervalMs, updateIntervalMs } = options;
    this.name = options.name ?? "load balancer";
    this.#selection = options.selection ?? roundRobin;
    this.#discovery = options.discovery;
    this.#discoveryTimeoutMs = checkMs(
      "discoveryTimeoutMs",
      options.discoveryTimeoutMs ?? DEFAULT_DISCOVERY_TIMEOUT_MS,
    );
    this.#concurrency = (options.parallelHealthChecks ?? true) ? PARALLEL_CHECKS : 1;
    if (updateIntervalMs !== undefined) checkMs("updateIntervalMs", updateIntervalMs);
    this.#updateIntervalMs = updateIntervalMs;
    if (healthCheckIntervalMs !== undefined) {
      if (healthCheck === undefined) {
        throw new TypeError("healthCheckIntervalMs without healthCheck: say how to check, such as tcpHealthCheck()");
      }
      checkMs("healthCheckIntervalMs", healthCheckIntervalMs);
    }
    this.#healthCheckIntervalMs = healthCheckIntervalMs;
    if (healthCheck?.timeoutMs !== undefined) checkMs("healthCheck.timeoutMs", healthCheck.timeoutMs);
    checkCount("healthCheck.consecutiveSuccess", healthCheck?.consecutiveSuccess ?? 1);
    checkCount("healthCheck.consecutiveFailure", healthCheck?.consecutiveFailure ?? 1);
    this.#healthCheck = healthCheck;
    this.#before = options.successorOf;
  }

  /**
   * A balancer over a fixed list, in that order. It selects at once; its service is needed for health checks only.
   * @throws RangeError when two have the same address, or a number is out of its range.
   * @throws TypeError for a list that is none, and for an option that is not known or of another type.
   * @throws ProxyError `ConnectError` when an address cannot be read.
   */
  static from(list: Iterable<BackendInput>, options: LoadBalancerOptions = {}): LoadBalancer {
    const result: DiscoveryResult = { backends: distinctBackends("LoadBalancer.from", list) };
    checkOptionNames("LoadBalancer", options, OPTION_NAMES);
    const balancer = new LoadBalancer({ ...options, discovery: { discover: () => Promise.resolve(result) } });
    balancer.#install(result);
    return balancer;
  }

  /** The backends at this moment, in order; a frozen list that later updates leave alone. */
  get backends(): readonly Backend[] {
    return this.#set.backends;
  }

  /**
   * The backend for a request: the first choice of the selection that is ready, or that `accept` takes. No I/O, no waiting.
   * @param key What the choice may depend on. Round robin needs none.
   * @throws ProxyError `NoPeer`, source upstream, with the reason and the state of the backends. TypeError or RangeError for options
   * that cannot be, when they matter: if none of them is known, and if nothing is found.
   */
  select(key = "", options?: SelectOptions): Backend {
    const backend = this.trySelect(key, options);
    if (backend !== undefined) return backend;
    const count = this.#set.states.length;
    throw noPeer({
      set: this.#set,
      tried: Math.min(options?.maxIterations ?? count, count),
      hadAccept: options?.accept !== undefined,
      discovered: this.#discovered,
      discoveryError: this.#discoveryError,
    });
  }

  /** As {@link select}, but `undefined` instead of an error. */
  trySelect(key = "", options?: SelectOptions): Backend | undefined {
    const { states, selector } = this.#set;
    // To read the names of options in each call would cost more than the choice does.
    if (options !== undefined && options?.accept === undefined && options?.maxIterations === undefined) {
      checkSelectOptions(options);
    }
    const limit = Math.min(options?.maxIterations ?? states.length, states.length);
    if (selector === undefined || !(limit > 0)) return nothing(options);
    const accept = options?.accept;
    const first = selector.first(key);
    let state = states[first] as BackendState;
    if (isAccepted(state, accept)) return state.backend;
    if (limit <= 1) return nothing(options);
    const fallbacks = selector.fallbacks(key, first);
    for (let tried = 1; tried < limit; tried += 1) {
      state = states[fallbacks.next()] as BackendState;
      if (isAccepted(state, accept)) return state.backend;
    }
    return nothing(options);
  }

  /** Whether it is healthy and enabled. `false` for one that is not in the set. */
  ready(backend: BackendRef): boolean {
    return this.#stateOf(backend)?.ready ?? false;
  }

  /** What the checks say, whether it is enabled or not. `false` for one that is not in the set. */
  isHealthy(backend: BackendRef): boolean {
    return this.#stateOf(backend)?.healthy ?? false;
  }

  /**
   * Takes a backend out of service, or back; its health is not touched. Holds until it is called again or the address
   * leaves the set. What the discovery disabled stays disabled: both must agree (in Pingora the last one wins).
   * @returns Whether there is such a backend.
   * @throws TypeError when `enabled` is not true or false.
   */
  setEnabled(backend: BackendRef, enabled: boolean): boolean {
    if (typeof enabled !== "boolean") {
      throw new TypeError(`setEnabled: enabled: expected true or false, got ${shown(enabled)}`);
    }
    const state = this.#stateOf(backend);
    state?.enableByHand(enabled);
    return state !== undefined;
  }

  /**
   * Asks the discovery and takes its answer over, all at once. Updates wait for each other.
   *
   * Rejects if the discovery fails or takes too long, if a backend is not valid, or if the selection refuses the set; then
   * everything stays as it was.
   * @param signal Gives up.
   */
  update(signal?: AbortSignal): Promise<void> {
    const update = this.#updating.then(() => this.#update(signal));
    this.#updating = update.catch(() => undefined);
    return update;
  }

  /** One round of health checks. Does not reject; resolves when all have ended, at once if there is no health check. */
  async checkHealth(signal?: AbortSignal): Promise<void> {
    if (this.#healthCheck === undefined) return;
    await runHealthRound({
      check: this.#healthCheck,
      states: this.#set.states,
      concurrency: this.#concurrency,
      isCurrent: (state) => this.#stateOf(state.backend) === state,
      onChecked: ({ backend, healthy }, check) => {
        if (checked.hasSubscribers) checked.publish({ balancer: this, backend, healthy, ...check });
      },
      signal,
    });
  }

  /**
   * The service that keeps this balancer up to date, to be added to the server before the proxies that use it; one is
   * enough. It is ready after the first discovery **and** the first round of checks, so that no request goes to a backend
   * that is already known to be down (in Pingora the checks come after). What fails is logged and tried again at the next
   * interval; it never stops the server's start.
   */
  service(name: string = this.name): Service {
    const task = balancerTask({
      update: (signal) => this.update(signal),
      checkHealth: (signal) => this.checkHealth(signal),
      updateIntervalMs: this.#updateIntervalMs,
      healthCheckIntervalMs: this.#healthCheckIntervalMs,
    });
    return backgroundService(name, task);
  }

  /**
   * Tells that it is out of use, such as when another has taken its place: metrics leave it out from then on. It selects as before, for
   * requests that still have it; its service is stopped apart from this.
   */
  retire(): void {
    if (retired.hasSubscribers) retired.publish({ balancer: this });
  }

  async #update(signal: AbortSignal | undefined): Promise<void> {
    try {
      const result = await within(this.#discoveryTimeoutMs, "discovery", signal, (limit) =>
        this.#discovery.discover(limit),
      );
      this.#install(result);
      if (updated.hasSubscribers) updated.publish({ balancer: this, backends: this.backends });
    } catch (error) {
      this.#discoveryError = error;
      if (updateFailed.hasSubscribers) updateFailed.publish({ balancer: this, error });
      throw error;
    }
  }

  #install(result: DiscoveryResult): void {
    this.#set = nextBackendSet(this.#set, result, this.#selection);
    if (!this.#discovered) this.#succeed();
    this.#discovered = true;
    this.#discoveryError = undefined;
  }

  #succeed(): void {
    const before = this.#before;
    if (before === undefined) return;
    for (const state of this.#set.states) {
      const known = before.#stateOf(state.backend);
      if (known !== undefined) state.continueFrom(known, this.#healthCheck !== undefined);
    }
    // It has its own one before, and so on.
    this.#before = undefined;
  }

  #stateOf(backend: BackendRef): BackendState | undefined {
    return this.#set.byAddress.get(backend.address.text);
  }
}

function isAccepted(state: BackendState, accept: SelectOptions["accept"]): boolean {
  return accept === undefined ? state.ready : accept(state.backend, state.ready);
}

/** Options that are wrong may be why. */
function nothing(options: SelectOptions | undefined): undefined {
  if (options !== undefined) checkSelectOptions(options);
}

function checkSelectOptions(options: SelectOptions): void {
  checkOptionNames("select", options, ["accept", "maxIterations"]);
  checkOptionType("select", "accept", options.accept, "function");
  const { maxIterations } = options;
  if (maxIterations === undefined || (typeof maxIterations === "number" && maxIterations >= 0)) return;
  throw new RangeError(`select: maxIterations: expected a number of at least 0, got ${shown(maxIterations)}`);
}

const OPTION_NAMES = [
  "name",
  "selection",
  "healthCheck",
  "healthCheckIntervalMs",
  "successorOf",
  "parallelHealthChecks",
  "discovery",
  "updateIntervalMs",
  "discoveryTimeoutMs",
];

function checkOptions(options: DiscoveringLoadBalancerOptions): void {
  checkOptionNames("LoadBalancer", options, OPTION_NAMES);
  const { name, selection, healthCheck, discovery, successorOf, parallelHealthChecks } = options;
  checkOptionType("LoadBalancer", "name", name, "string");
  if (selection !== undefined && typeof selection !== "function") {
    throw expected("selection", "a function, such as roundRobin", selection);
  }
  if (healthCheck !== undefined && typeof healthCheck?.check !== "function") {
    throw expected("healthCheck", "an object with check(), such as tcpHealthCheck()", healthCheck);
  }
  for (const hook of ["onStatusChange", "summary"] as const) {
    checkOptionType("LoadBalancer: healthCheck", hook, healthCheck?.[hook], "function");
  }
  if (typeof discovery?.discover !== "function") {
    throw expected("discovery", "an object with discover(), such as staticDiscovery([…])", discovery);
  }
  if (successorOf !== undefined && !(successorOf instanceof LoadBalancer)) {
    throw expected("successorOf", "a LoadBalancer", successorOf);
  }
  checkOptionType("LoadBalancer", "parallelHealthChecks", parallelHealthChecks, "boolean");
}

function expected(option: string, what: string, given: unknown): TypeError {
  return new TypeError(`LoadBalancer: ${option}: expected ${what}, got ${shown(given)}`);
}
