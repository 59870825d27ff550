import { logger } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { InvalidHeaderError } from "@sluice/http";
import { proxyChannels } from "./channels.ts";
import type { Phase } from "./phase.ts";
import type { Session } from "./session.ts";

const log = logger("proxy");
const { hookError: channel } = proxyChannels;

const MODULES: ReadonlySet<Phase> = new Set<Phase>(["requestModules", "responseModules", "upstreamModules"]);

/** What is known already: one error passes several places that take what is thrown. */
const known = new WeakMap<Session, WeakSet<object>>();

/**
 * What a hook threw, as ours: a ProxyError stays as it is, anything else is the hook's defect and names its phase. Those who
 * listen are told of a defect, once.
 */
export function hookError(session: Session, phase: Phase, thrown: unknown): ProxyError {
  const error = asProxyError(phase, thrown);
  if (isDefect(thrown) && isNew(session, error, thrown)) tell(session, phase, error, thrown);
  return error;
}

/** As {@link uselessHookError}, for a hook that was still busy when its request, or the attempt, was over. */
export function lateHookError(session: Session, phase: Phase, thrown: unknown): void {
  // Those that are given up may say so.
  if (!MODULES.has(phase)) uselessHookError(session, phase, thrown);
}

/**
 * A hook failed, and nothing depended on it: the client has left, or nobody may wait for that hook. Nothing comes of it but a line
 * in the log, and a word to those who listen.
 */
export function uselessHookError(session: Session, phase: Phase, thrown: unknown): void {
  const error = asProxyError(phase, thrown);
  if (!isDefect(thrown) || !isNew(session, error, thrown)) return;
  tell(session, phase, error, thrown);
  const { method, target } = session.request;
  const stack = error.causeStack();
  const request = `${method} ${target}`;
  log.warn({ request, phase, error: error.message, ...(stack !== undefined && { stack }) }, "a hook failed in vain");
}

/** An error as a connection or a hook gave it, as ours. */
export function asProxyError(phase: Phase, thrown: unknown): ProxyError {
  if (thrown instanceof ProxyError) return thrown;
  const what = thrown instanceof InvalidHeaderError ? "InvalidHTTPHeader" : "InternalError";
  return ProxyError.internal(what, `thrown in ${phase}`, thrown);
}

/** A ProxyError is how a hook says what is to become of a request, unless it says that something is wrong with us. */
function isDefect(thrown: unknown): boolean {
  return !(thrown instanceof ProxyError) || thrown.source === "internal";
}

function isNew(session: Session, error: ProxyError, thrown: unknown): boolean {
  let errors = known.get(session);
  if (errors === undefined) known.set(session, (errors = new WeakSet()));
  const object = typeof thrown === "object" && thrown !== null ? thrown : error;
  if (errors.has(error) || errors.has(object)) return false;
  errors.add(error).add(object);
  return true;
}

function tell(session: Session, phase: Phase, error: ProxyError, thrown: unknown): void {
  if (channel.hasSubscribers) channel.publish({ session, ctx: session.ctx, phase, error, thrown });
}
