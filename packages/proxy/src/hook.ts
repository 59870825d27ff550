import { ProxyError } from "@sluice/error";
import { InvalidHeaderError } from "@sluice/http";
import type { Phase } from "./phase.ts";

/** Whether a hook gave a promise, which must be waited for. */
export function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | undefined)?.then === "function";
}

/**
 * What a hook gave that must not give a promise: `undefined` for one, whose failure is then nobody's, so that it cannot end
 * the process.
 */
export function notPromise<T>(value: T | PromiseLike<T>): T | undefined {
  if (!isPromise(value)) return value;
  Promise.resolve(value).catch(() => undefined);
  return undefined;
}

/** What a synchronous hook gave for an error; the error that it was given, and a note, if that is none. */
export function errorFromHook(hook: string, given: unknown, error: ProxyError): ProxyError {
  if (given instanceof ProxyError) return given;
  if (given !== undefined) notPromise(given);
  return error.moreContext(`${hook} must return a ProxyError, synchronously; it returned ${nameOf(given)}`);
}

/** For messages about values that are not what was expected. */
export function nameOf(value: unknown): string {
  if (isPromise(value)) return "a promise";
  return value === null || typeof value !== "object" ? String(value) : `an ${value.constructor?.name ?? "object"}`;
}

/** What a hook threw, as ours: a ProxyError stays as it is, anything else is the hook's defect and names its phase. */
export function hookError(phase: Phase, thrown: unknown): ProxyError {
  if (thrown instanceof ProxyError) return thrown;
  const what = thrown instanceof InvalidHeaderError ? "InvalidHTTPHeader" : "InternalError";
  return ProxyError.internal(what, `thrown in ${phase}`, thrown);
}
