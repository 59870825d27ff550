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
