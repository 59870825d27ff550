import { nearestName } from "./nearest-name.ts";
import { shown } from "./shown.ts";

/**
 * For options that come from code: a misspelt one would be ignored, and its default taken for what was asked. So would be all, if
 * they were no object.
 * @throws TypeError naming the option that is not known, and the one that it may be meant to be.
 */
export function checkOptionNames(what: string, given: object, known: readonly string[]): void {
  // Without the compiler anything can be given: `true`, `null`, a text.
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`${what}: expected an object of options, got ${shown(given)}`);
  }
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    const near = nearestName(name, known);
    throw new TypeError(`${what}: unknown option ${name}${near === undefined ? "" : `; did you mean ${near}?`}`);
  }
}

const EXPECTED = { boolean: "true or false", string: "a string", function: "a function" } as const;

/**
 * For an option that is a switch, a text or a function: `"no"` would be a yes. One that is not given is good.
 * @throws TypeError naming the option, what was expected, and what was given.
 */
export function checkOptionType(what: string, name: string, value: unknown, type: keyof typeof EXPECTED): void {
  if (value === undefined || typeof value === type) return;
  throw new TypeError(`${what}: ${name}: expected ${EXPECTED[type]}, got ${shown(value)}`);
}
