import { shown } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { hookError, uselessHookError } from "./hook-errors.ts";
import type { Phase } from "./phase.ts";
import type { Session } from "./session.ts";

/** Hooks of no request. */
type InitHook = "initDownstreamModules" | "initUpstreamModules";

/** Whether a hook gave a promise, which must be waited for. */
export function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | undefined)?.then === "function";
}

/** What a hook gave that must not give a promise: `undefined` for one, which is the hook's defect. */
export function notPromise<T>(session: Session, hook: Phase, value: T | PromiseLike<T>): T | undefined {
  if (!isPromise(value)) return value;
  dropPromise(session, hook, value);
  uselessHookError(session, hook, unwantedPromise(hook));
  return undefined;
}

/** Nobody waits for what a hook gave. If it is a promise that fails, that must not end the process, but is said. */
export function dropPromise(session: Session | undefined, hook: Phase | InitHook, value: unknown): void {
  if (!isPromise(value)) return;
  Promise.resolve(value).catch((thrown: unknown) => {
    // Without a session a service is being made, and will not be.
    if (session !== undefined) uselessHookError(session, hook as Phase, thrown);
  });
}

/** @throws TypeError when a hook that must not give a promise gave one. */
export function refusePromise(session: Session | undefined, hook: Phase | InitHook, given: unknown): void {
  if (!isPromise(given)) return;
  dropPromise(session, hook, given);
  throw unwantedPromise(hook);
}

/** What a synchronous hook gave for an error; the error that it was given, and a note, if that is none. */
export function errorFromHook(session: Session, hook: Phase, given: unknown, error: ProxyError): ProxyError {
  if (given instanceof ProxyError) return given;
  dropPromise(session, hook, given);
  const misuse = `${hook} must return a ProxyError, synchronously; it returned ${shown(given)}`;
  hookError(session, hook, new TypeError(misuse));
  return error.moreContext(misuse);
}

function unwantedPromise(hook: Phase | InitHook): TypeError {
  return new TypeError(`${hook} must return its result, not a promise of it`);
}
