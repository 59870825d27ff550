const SHOWN_CHARS = 60;

/**
 * A value that is not what was expected, for a message: `"5"`, `5`, `undefined`, `a function`, `a promise`, `an array of 2`, `an
 * object`, `a Backend`. A text is quoted, so that it does not look like a number, and shortened when it is long.
 */
export function shown(value: unknown): string {
  if (typeof value === "string") {
    return JSON.stringify(value.length > SHOWN_CHARS ? `${value.slice(0, SHOWN_CHARS)}…` : value);
  }
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : `an array of ${value.length}`;
  if (typeof (value as { then?: unknown }).then === "function") return "a promise";
  const name: unknown = value.constructor?.name;
  if (typeof name !== "string" || name === "" || name === "Object") return "an object";
  return `${/^[aeiou]/i.test(name) ? "an" : "a"} ${name}`;
}
