import { LinuxError } from "./linux-error.ts";

/**
 * A misspelt option would be ignored.
 * @throws LinuxError `EINVAL` naming what is no option, and the options there are.
 */
export function checkOptions(attempted: string, given: object, known: readonly string[]): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new LinuxError("EINVAL", attempted, `options must be an object, not ${nameOf(given)}`);
  }
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new LinuxError("EINVAL", attempted, `unknown option ${unknown}; expected one of ${known.join(", ")}`);
}

/** @throws LinuxError `EINVAL` for a value that is given and of another type. */
export function checkType(attempted: string, name: string, value: unknown, type: "boolean" | "function"): void {
  if (value === undefined || typeof value === type) return;
  const wanted = type === "boolean" ? "true or false" : "a function";
  throw new LinuxError("EINVAL", attempted, `${name} must be ${wanted}, not ${nameOf(value)}`);
}

function nameOf(value: unknown): string {
  return value === null || typeof value === "boolean" ? String(value) : typeof value;
}
