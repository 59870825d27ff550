import { eventChannel, type EventChannel } from "@sluice/core";
import type { Backend } from "./backend.ts";
import type { LoadBalancer } from "./load-balancer.ts";

/** A balancer has taken over what its discovery found. Not told of the list that `LoadBalancer.from` was given. */
export interface BalancerUpdatedMessage {
  /** The real one, to be read whenever somebody asks; leave it as it is. */
  readonly balancer: LoadBalancer;
  readonly backends: readonly Backend[];
}

/** A discovery failed; the backends stay as they were. */
export interface BalancerUpdateFailedMessage {
  readonly balancer: LoadBalancer;
  readonly error: unknown;
}

/** A backend was checked. */
export interface BackendCheckedMessage {
  readonly balancer: LoadBalancer;
  readonly backend: Backend;
  /** What this check says. */
  readonly success: boolean;
  /** What the backend counts as from now on; by the thresholds, that may still be the opposite. */
  readonly healthy: boolean;
  /** It counted as the opposite before. */
  readonly changed: boolean;
  /** What the check rejected with. */
  readonly error: unknown;
  readonly checkMs: number;
}

/** A balancer is out of use, by {@link LoadBalancer.retire}. */
export interface BalancerRetiredMessage {
  readonly balancer: LoadBalancer;
}

/** What happens to the backends of balancers. */
export const balancerChannels: {
  readonly updated: EventChannel<BalancerUpdatedMessage>;
  readonly updateFailed: EventChannel<BalancerUpdateFailedMessage>;
  readonly checked: EventChannel<BackendCheckedMessage>;
  readonly retired: EventChannel<BalancerRetiredMessage>;
} = {
  updated: eventChannel("sluice:balancer:updated"),
  updateFailed: eventChannel("sluice:balancer:update-failed"),
  checked: eventChannel("sluice:balancer:checked"),
  retired: eventChannel("sluice:balancer:retired"),
};
