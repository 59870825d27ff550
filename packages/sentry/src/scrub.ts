export const FILTERED = "[filtered]";

/** Shorter ones are in too many words to be struck out of a text. */
const MIN_SECRET_CHARS = 6;
/** Deeper than reports are. */
const MAX_DEPTH = 8;

/** What would be recognised if it turned up in a text. The longest first, since a shorter one may be a part of it. */
export function toSecrets(values: Iterable<string>): string[] {
  const secrets = new Set<string>();
  for (const value of values) {
    for (const form of [value, decode(value)]) if (form.length >= MIN_SECRET_CHARS) secrets.add(form);
  }
  return [...secrets].toSorted((a, b) => b.length - a.length);
}

/** Strikes the secrets out of all text in `value`, in place where it is an object. */
export function scrub<Value>(value: Value, secrets: readonly string[], depth = 0): Value {
  if (secrets.length === 0) return value;
  if (typeof value === "string") {
    let text: string = value;
    for (const secret of secrets) text = text.replaceAll(secret, FILTERED);
    return text as Value;
  }
  if (typeof value !== "object" || value === null || depth > MAX_DEPTH) return value;
  const fields = value as Record<string, unknown>;
  for (const [name, field] of Object.entries(fields)) fields[name] = scrub(field, secrets, depth + 1);
  return value;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}
