// What of the channels' messages is read here: less than there is, so that reports need no proxy installed.

/** What is read of a request. */
export interface RequestSession {
  readonly request: RequestHead;
  readonly phase: string;
  readonly tries: number;
  readonly peer: { toString(): string } | undefined;
  readonly upstreamReused: boolean;
  readonly isSubrequest: boolean;
  readonly clientAddress: string | undefined;
  readonly digest: { readonly tls: unknown };
  readonly outcome: { readonly status: number; readonly how: string };
}

/** Names and values of the fields, and what stands before them. */
export interface RequestHead extends Iterable<[name: string, value: string]> {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly path: string;
  readonly query: string | undefined;
  get(name: string): string | undefined;
}

/** What is read of a `ProxyError`. */
interface FailureReason extends Error {
  readonly type: string;
  readonly source: string;
}

/** Of `sluice:proxy:request-end`. */
export interface RequestEnd {
  readonly session: RequestSession;
  readonly error: FailureReason | undefined;
}

/** Of `sluice:proxy:hook-error`. */
export interface HookError {
  readonly session: RequestSession;
  readonly phase: string;
  readonly error: FailureReason;
  readonly thrown: unknown;
}

/** Of `sluice:worker:ended`, told where workers are started. */
export interface WorkerEnded {
  readonly worker: number;
  readonly pid: number;
  readonly cause: string;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly message: string;
}

/** Of `sluice:server:handover`. */
export interface Handover {
  readonly outcome: string;
  readonly error: unknown;
}

/** Of `sluice:server:phase`. */
export interface ServerPhase {
  readonly phase: string;
}
