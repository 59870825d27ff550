import { ProxyError } from "@sluice/error";
import { InvalidHeaderError } from "@sluice/http";
import type { Phase } from "./phase.ts";

/** Whether a hook gave a promise, which must be waited for. */
export function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | undefined)?.then === "function";
}

/** What a hook threw, as ours: a ProxyError stays as it is, anything else is the hook's defect and names its phase. */
export function hookError(phase: Phase, thrown: unknown): ProxyError {
  if (thrown instanceof ProxyError) return thrown;
  const what = thrown instanceof InvalidHeaderError ? "InvalidHTTPHeader" : "InternalError";
  return ProxyError.internal(what, `thrown in ${phase}`, thrown);
}
