declare const responded: unique symbol;

/**
 * Says that the session was answered. Only `session.respond…` makes one, so a filter cannot claim it by mistake.
 */
export interface Responded {
  readonly [responded]: true;
}

/** @internal The one value of that type: it carries nothing. */
export const RESPONDED: Responded = Object.freeze({}) as Responded;
