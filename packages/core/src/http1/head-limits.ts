import { checkOptionNames } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";

/** Limits on what a peer may send before its body, and on what surrounds it. */
export interface HeadLimits {
  /** Bytes of a whole head, start line included. Default 65,536: twice what nginx takes, room for large cookies. */
  maxHeadBytes: number;
  /** Field lines in a head or in a trailer section. Default 256. */
  maxFields: number;
}

export const DEFAULT_HEAD_LIMITS: HeadLimits = { maxHeadBytes: 65_536, maxFields: 256 };

/** @throws TypeError for a limit that is not known, RangeError for one that is not a positive integer, naming it. */
export function resolveHeadLimits(given: Partial<HeadLimits> = {}): HeadLimits {
  checkOptionNames("headLimits", given, Object.keys(DEFAULT_HEAD_LIMITS));
  const limits = { ...DEFAULT_HEAD_LIMITS, ...given };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`${name}: expected a positive integer, got ${shown(value)}`);
    }
  }
  return limits;
}
