const QUOTED_CHARS = 80;

/** A head was given something that cannot stand in it: what it was for, the text (shortened), what was expected. */
export class InvalidHeaderError extends TypeError {
  override readonly name = "InvalidHeaderError";
  readonly code = "InvalidHTTPHeader";

  constructor(what: string, given: string, expected: string) {
    const shown = given.length > QUOTED_CHARS ? `${given.slice(0, QUOTED_CHARS)}…` : given;
    super(`invalid ${what}: ${JSON.stringify(shown)}; expected ${expected}`);
  }
}
