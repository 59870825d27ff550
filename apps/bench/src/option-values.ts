/** The words of a list such as `a,b`, each once. Throws with a sentence for the user when there is none. */
export function words(name: string, list: string): string[] {
  const unique = new Set(list.split(",").map((word) => word.trim()));
  unique.delete("");
  if (unique.size === 0) throw new Error(`--${name} wants a list such as a,b`);
  return [...unique];
}

/** The number an option was given. Throws with a sentence for the user on anything but a whole number above 0. */
export function positiveInteger(name: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${name} wants a whole number above 0, not "${value}"`);
  return number;
}
