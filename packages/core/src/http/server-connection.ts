import type { ConnectionSummary } from "../diagnostics.ts";
import type { RosterMember } from "../net/roster.ts";
import type { ConnectionDigest } from "./connection-digest.ts";

/** A client's connection as the service that accepted it sees it, whatever protocol is spoken on it. */
export interface ServerConnection extends RosterMember {
  readonly digest: ConnectionDigest;
  /** What there is to tell of it, now that it is closed. */
  readonly summary: ConnectionSummary;
  /** Takes no further request, lets those that have begun end, and closes. */
  shutdown(): void;
  /** Ends at once; what was begun shows to be cut. */
  destroy(): void;
}
