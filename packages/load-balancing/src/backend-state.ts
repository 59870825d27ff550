import { inspect } from "node:util";
import type { Backend } from "./backend.ts";

/** How often in a row an observation must be made until it is believed. */
export interface Thresholds {
  success: number;
  failure: number;
}

/**
 * What is known of one address: its health and whether it may be used. Lives as long as the address stays in the set,
 * through changes of weight and order. Starts healthy and enabled.
 */
export class BackendState {
  backend: Backend;
  /** Healthy and enabled; kept up to date so that selecting reads one field. */
  ready = true;
  /** What the last failed check rejected with. */
  lastError: unknown;
  #healthy = true;
  #enabledByDiscovery = true;
  #enabledByHand = true;
  /** Observations in a row that contradict `healthy`. */
  #contradictions = 0;

  constructor(backend: Backend) {
    this.backend = backend;
  }

  get healthy(): boolean {
    return this.#healthy;
  }

  /** Counts a check's outcome; whether it has changed the health. */
  observe(success: boolean, error: unknown, thresholds: Thresholds): boolean {
    if (!success) this.lastError = error;
    if (success === this.#healthy) {
      this.#contradictions = 0;
      return false;
    }
    this.#contradictions += 1;
    if (this.#contradictions < (success ? thresholds.success : thresholds.failure)) return false;
    this.#contradictions = 0;
    this.#healthy = success;
    this.#settle();
    return true;
  }

  enableByDiscovery(enabled: boolean): void {
    this.#enabledByDiscovery = enabled;
    this.#settle();
  }

  enableByHand(enabled: boolean): void {
    this.#enabledByHand = enabled;
    this.#settle();
  }

  /** Takes over what another has found out, and what was done by hand. */
  continueFrom(other: BackendState, withHealth: boolean): void {
    this.#enabledByHand = other.#enabledByHand;
    if (withHealth) {
      this.#healthy = other.#healthy;
      this.#contradictions = other.#contradictions;
      this.lastError = other.lastError;
    }
    this.#settle();
  }

  /** Why it is or is not ready, for messages. */
  describe(): string {
    if (!this.#enabledByHand) return "disabled";
    if (!this.#enabledByDiscovery) return "disabled by discovery";
    if (this.#healthy) return "ready";
    const { lastError } = this;
    if (lastError === undefined) return "unhealthy";
    return `unhealthy: ${lastError instanceof Error ? lastError.message : inspect(lastError)}`;
  }

  #settle(): void {
    this.ready = this.#healthy && this.#enabledByDiscovery && this.#enabledByHand;
  }
}
