import { checkOptionNames, shown } from "@sluice/core";
import { RESPOND_OPTION_NAMES, type RespondOptions } from "./session.ts";

/** What `failToProxy` decided. */
export interface FailToProxy {
  /**
   * The status to answer with; if the hook has answered itself, the one for the log. 0: nothing is to be sent, the connection is
   * cut.
   */
  status: number;
  /**
   * `false` closes the client's connection after an answer that would have left it open. Default: as the answer says: what
   * `session.respond` sent leaves it open if it can be, what `session.respondError` sent, or we, closes it.
   */
  reuse?: boolean;
}

/** @throws TypeError when it is no decision. */
export function toFailToProxy(given: unknown): FailToProxy {
  const { status, reuse } = (typeof given === "number" ? { status: given } : (given ?? {})) as Partial<FailToProxy>;
  if (!isStatus(status)) {
    const got = typeof given === "object" && given !== null ? `a status of ${shown(status)}` : shown(given);
    throw new TypeError(
      `failToProxy must return the status, 0 or 200 to 999, or { status, reuse? }; it returned ${got}`,
    );
  }
  if (reuse !== undefined && typeof reuse !== "boolean") {
    throw new TypeError(`failToProxy: expected a reuse of true or false, got ${shown(reuse)}`);
  }
  return { status, ...(reuse !== undefined && { reuse }) };
}

/** @throws TypeError when it is no page. */
export function toErrorPage(given: unknown): RespondOptions {
  if (given === undefined || given === null) return {};
  if (typeof given === "object" && !(given instanceof Uint8Array)) {
    checkOptionNames("errorPage", given, RESPOND_OPTION_NAMES);
    return given;
  }
  throw new TypeError(`errorPage must return { fields?, body? } or nothing; it returned ${shown(given)}`);
}

function isStatus(status: unknown): status is number {
  return Number.isInteger(status) && (status === 0 || ((status as number) >= 200 && (status as number) <= 999));
}
