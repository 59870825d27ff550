// What of the channels' messages is read here: less than there is, so that metrics need neither the proxy nor balancers installed.

/** Of `sluice:proxy:request-start`. */
export interface RequestStart {
  readonly session: { readonly isSubrequest: boolean };
}

/** Of `sluice:proxy:request-end`. */
export interface RequestEnd {
  readonly session: {
    readonly request: { readonly version: string };
    readonly isSubrequest: boolean;
    readonly wasUpgraded: boolean;
    readonly downstream: { readonly requestBodyBytes: number };
  };
  readonly error: FailureReason | undefined;
  readonly outcome: { readonly status: number; readonly sent: number; readonly how: string };
  readonly timing: RequestTiming;
}

/** What is read of `Timing`; in milliseconds. */
export interface RequestTiming {
  readonly headReadAtMs: number;
  readonly peerChosenAtMs: number | undefined;
  readonly connectedAtMs: number | undefined;
  readonly requestHeadSentAtMs: number | undefined;
  readonly requestSentAtMs: number | undefined;
  readonly responseHeadAtMs: number | undefined;
  readonly responseEndAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
  readonly connectMs: number | undefined;
}

/** What is read of a `ProxyError`. */
export interface FailureReason {
  readonly source: string;
  readonly type: string;
}

/** Of `sluice:proxy:attempt-failed`. */
export interface AttemptFailed {
  readonly error: FailureReason;
  readonly retried: boolean;
}

/** Of `sluice:proxy:hook-error`. */
export interface HookError {
  readonly phase: string;
}

/** What is read of a balancer. `LoadBalancer` is one. */
export interface BalancerStatus {
  readonly name: string;
  readonly backends: readonly BackendStatus[];
  isHealthy(backend: BackendStatus): boolean;
  ready(backend: BackendStatus): boolean;
}

export interface BackendStatus {
  readonly address: { readonly text: string };
}

/** Of `sluice:balancer:updated`, `sluice:balancer:update-failed` and `sluice:balancer:retired`. */
export interface BalancerMessage {
  readonly balancer: BalancerStatus;
}

/** Of `sluice:balancer:checked`. */
export interface BackendChecked extends BalancerMessage {
  readonly backend: BackendStatus;
  readonly success: boolean;
  readonly healthy: boolean;
  readonly changed: boolean;
  readonly checkMs: number;
}

/** Of `sluice:worker:ready`, told where workers are started. */
export interface WorkerReady {
  /** From 1; that of its predecessor when it replaces one. */
  readonly worker: number;
  readonly pid: number;
}

/** Of `sluice:worker:ended`, told where workers are started. */
export interface WorkerEnded {
  readonly pid: number;
  readonly cause: string;
}

/** Of `sluice:server:phase`. */
export interface ServerPhase {
  readonly phase: string;
}
