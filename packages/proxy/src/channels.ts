import { eventChannel, type EventChannel, type HttpPeer } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { ResponseHeader } from "@sluice/http";
import type { Outcome } from "./outcome.ts";
import type { Phase } from "./phase.ts";
import type { Session } from "./session.ts";
import type { Timing } from "./timing.ts";

/** A request begins. */
export interface RequestStartMessage {
  /** The same object in every message about this request; its `digest` is that of the connection's messages. */
  readonly session: Session;
  /** What `newCtx` made; `undefined` if it failed. */
  readonly ctx: unknown;
}

/** An attempt has a peer, and goes for a connection. */
export interface RequestAttemptMessage extends RequestStartMessage {
  readonly peer: HttpPeer;
  /** The how-many-th attempt it is, from 1. */
  readonly tries: number;
}

/** The final head of an upstream's response has come; no hook has seen it. */
export interface RequestResponseMessage extends RequestStartMessage {
  readonly peer: HttpPeer;
  /** Without hop-by-hop fields. Hooks edit it later: what is to be kept of it must be copied. */
  readonly response: ResponseHeader;
}

/** An attempt has failed. */
export interface AttemptFailedMessage extends RequestStartMessage {
  /** `undefined` if `upstreamPeer` gave none: then no `request-attempt` came before. */
  readonly peer: HttpPeer | undefined;
  readonly tries: number;
  /** As `failToConnect` and `errorWhileProxy` left it. */
  readonly error: ProxyError;
  /** Another attempt follows, unless the client leaves first. Otherwise the request fails with this error. */
  readonly retried: boolean;
}

/** A request is over, `logging` included. */
export interface RequestEndMessage extends RequestStartMessage {
  /** What the request failed with. */
  readonly error: ProxyError | undefined;
  readonly outcome: Outcome;
  readonly timing: Timing;
}

/**
 * Code of the app failed: a hook, or a module, threw or rejected with what is no ProxyError, or one of source internal; or gave what
 * it must not, such as a promise where none is waited for.
 */
export interface HookErrorMessage extends RequestStartMessage {
  /** The hook; the modules of a side are `requestModules`, `responseModules` and `upstreamModules`. */
  readonly phase: Phase;
  /** What it became. */
  readonly error: ProxyError;
  /** What was thrown. */
  readonly thrown: unknown;
}

/** What happens to requests. */
export const proxyChannels: {
  readonly requestStart: EventChannel<RequestStartMessage>;
  readonly requestAttempt: EventChannel<RequestAttemptMessage>;
  readonly requestResponse: EventChannel<RequestResponseMessage>;
  readonly attemptFailed: EventChannel<AttemptFailedMessage>;
  readonly requestEnd: EventChannel<RequestEndMessage>;
  readonly hookError: EventChannel<HookErrorMessage>;
} = {
  requestStart: eventChannel("sluice:proxy:request-start"),
  requestAttempt: eventChannel("sluice:proxy:request-attempt"),
  requestResponse: eventChannel("sluice:proxy:request-response"),
  attemptFailed: eventChannel("sluice:proxy:attempt-failed"),
  requestEnd: eventChannel("sluice:proxy:request-end"),
  hookError: eventChannel("sluice:proxy:hook-error"),
};

const { requestStart, requestAttempt, requestResponse, attemptFailed, requestEnd } = proxyChannels;

// A message is made only for somebody who listens.

export function tellStart(session: Session): void {
  if (requestStart.hasSubscribers) requestStart.publish({ session, ctx: session.ctx });
}

export function tellAttempt(session: Session, peer: HttpPeer): void {
  if (!requestAttempt.hasSubscribers) return;
  requestAttempt.publish({ session, ctx: session.ctx, peer, tries: session.tries });
}

export function tellResponse(session: Session, response: ResponseHeader): void {
  if (!requestResponse.hasSubscribers) return;
  requestResponse.publish({ session, ctx: session.ctx, peer: session.peer!, response });
}

export function tellAttemptFailed(session: Session, error: ProxyError, retried: boolean): void {
  if (!attemptFailed.hasSubscribers) return;
  const peer = session.times.peerChosen ? session.peer : undefined;
  attemptFailed.publish({ session, ctx: session.ctx, peer, tries: session.tries, error, retried });
}

export function tellEnd(session: Session, error: ProxyError | undefined): void {
  if (!requestEnd.hasSubscribers) return;
  const { ctx, outcome, timing } = session;
  requestEnd.publish({ session, ctx, error, outcome, timing });
}
