const QUOTED_CHARS = 80;

/** A head was given something that cannot stand in it: what it was for, the text (shortened), what was expected. */
export class InvalidHeaderError extends TypeError {
  override readonly name = "InvalidHeaderError";
  readonly code = "InvalidHTTPHeader";

  constructor(what: string, given: unknown, expected: string) {
    super(`invalid ${what}: ${shown(given)}; expected ${expected}`);
  }
}

function shown(given: unknown): string {
  if (typeof given !== "string") return given === undefined ? "undefined" : `of type ${typeof given}`;
  return JSON.stringify(given.length > QUOTED_CHARS ? `${given.slice(0, QUOTED_CHARS)}…` : given);
}
