import { checkOptionNames, checkOptionType, shown, type HttpPeer } from "@sluice/core";
import { ERROR_TYPES, ProxyError } from "@sluice/error";
import { proxyStatusError, reasonOf } from "./error-answers.ts";

/** How answers of the proxy's own say so, in `Proxy-Status` (RFC 9209). */
export interface ProxyStatusOptions {
  /** Our name in the field. Default: that in `Via`, else `sluice`. */
  name?: string;
  /**
   * `"errors"` (default): answers to requests that failed, and those of `session.decline()`. `"generated"`: everything that a
   * hook answers, too.
   */
  on?: "errors" | "generated";
  /** Adds `next-hop`, the address of the peer that was tried last. Default false: it shows our insides to clients. */
  nextHop?: boolean;
  /** Adds `details`, a fixed text for the type of error, never its context. Default false, for the same reason. */
  details?: boolean;
}

// RFC 8941, section 3.3.4.
const TOKEN = /^[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*$/;
const STRING = /^[ -~]*$/;

/** Makes the field for one proxy. */
export class ProxyStatus {
  readonly #name: string;
  readonly #options: ProxyStatusOptions;

  /** @throws TypeError when an option is none that can be. */
  constructor(options: ProxyStatusOptions, via: string | undefined) {
    checkOptionNames("proxyStatus", options, ["name", "on", "nextHop", "details"]);
    const name = options.name ?? via ?? "sluice";
    if (typeof name !== "string" || name === "" || !STRING.test(name)) {
      throw new TypeError(`proxyStatus.name: expected printable ASCII, got ${shown(name)}`);
    }
    if (options.on !== undefined && options.on !== "errors" && options.on !== "generated") {
      throw new TypeError(`proxyStatus.on: expected "errors" or "generated", got ${shown(options.on)}`);
    }
    for (const option of ["nextHop", "details"] as const) {
      checkOptionType("proxyStatus", option, options[option], "boolean");
    }
    this.#name = TOKEN.test(name) ? name : toString(name);
    this.#options = options;
  }

  /**
   * The value for an answer with `status`; `undefined` for one that says nothing.
   * @param failure Why it is answered so; `undefined` for an answer that a hook gave of its own accord.
   */
  valueFor(status: number, failure: ProxyError | undefined, peer: HttpPeer | undefined): string | undefined {
    const { on, nextHop, details } = this.#options;
    if (failure === undefined && on !== "generated") return undefined;
    const error = failure ?? ProxyError.httpStatus(status);
    const reason = proxyStatusError(error);
    let value = this.#name;
    if (reason !== undefined) value += `;error=${reason}`;
    if (nextHop === true && peer !== undefined) value += `;next-hop=${toString(peer.address.text)}`;
    const meaning: string | undefined =
      details === true ? (ERROR_TYPES as Record<string, string>)[reasonOf(error).type] : undefined;
    return meaning === undefined ? value : `${value};details=${toString(meaning)}`;
  }
}

/** RFC 8941, section 4.1.6; what cannot stand in a string, such as the path of a socket may hold, becomes `?`. */
function toString(text: string): string {
  return `"${text.replaceAll(/[^ -~]/g, "?").replaceAll(/["\\]/g, "\\$&")}"`;
}
