import type { Lingering } from "./lingering.ts";

/** What is known of how a client's connection comes to its end. */
export class Ending {
  /** While it lingers. */
  lingering: Lingering | undefined = undefined;
  /** We broke an exchange off because the server stops. */
  cutByStop = false;
  /** Not all of the last response had left when the connection was to be closed as idle. */
  takesLast = false;
  /** A response ends where the connection does. */
  endsByClosing = false;
  /** The last response was broken off. */
  cutShort = false;
  /** Not all that was told as served has left when we closed. */
  hadUnsent = false;
  /** An end would be taken for that of a response which was broken off. */
  endsByReset = false;
  /** It was closed as idle. */
  wasIdle = false;
}

/** That of all connections whose end has not begun: one that waits for a request should cost as little memory as it can. */
export const NOT_ENDING: Readonly<Ending> = new Ending();
