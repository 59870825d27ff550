/**
 * A misspelt option would be ignored, and its default taken for what was asked.
 * @throws TypeError naming what is no option, and the options there are.
 */
export function checkOptions(owner: string, given: object, known: readonly string[]): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`${owner}: expected an object of options, got ${String(given)}`);
  }
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new TypeError(`${owner}: unknown option ${unknown}; expected one of ${known.join(", ")}`);
}
