import { checkOptionNames, shown } from "@sluice/core";

/** How far an app that spawns subrequests of subrequests can go. */
export interface SubrequestLimits {
  /** How deep they may be nested. Default 5: a hook that spawns itself ends soon. */
  readonly maxDepth: number;
  /** Subrequests of one request of a client, those of its subrequests and those in the background included. Default 50. */
  readonly maxPerRequest: number;
}

const DEFAULTS: SubrequestLimits = { maxDepth: 5, maxPerRequest: 50 };

/** @throws RangeError or TypeError naming the limit that cannot be. */
export function resolveSubrequestLimits(given: Partial<SubrequestLimits> = {}): SubrequestLimits {
  checkOptionNames("subrequests", given, Object.keys(DEFAULTS));
  const limits = { ...DEFAULTS, ...given };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isInteger(value) || value < 0) {
      throw new RangeError(`subrequests: ${name}: expected an integer of at least 0, got ${shown(value)}`);
    }
  }
  return limits;
}
