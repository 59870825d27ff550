import { shown } from "../config/shown.ts";

/**
 * What one exchange with a client may take, and how it is treated. Times are milliseconds; 0 waits for ever. Options of a
 * service, which hold for all its exchanges; {@link SessionLimits} are those of one.
 */
export interface SessionLimitValues {
  /** Wait for the next bytes of a request body. Default 60,000. On expiry: 408 if nothing was answered yet, and close. */
  bodyMs: number;
  /** Wait for a client that takes no bytes. Default 60,000. On expiry: the connection is cut. */
  writeMs: number;
  /**
   * How fast a client must take what it is sent, in bytes a second, in place of `writeMs`: once more is there for it than the
   * system takes, all of it must be gone after max(bytes, rate) / rate seconds. So it may pause for as long as its bytes are
   * worth, but never less than a second. Default 0: no rate is asked for. On falling short: the connection is cut.
   */
  minSendBytesPerSecond: number;
  /** Wait for the first byte of the connection's next (or first) request. Default 75,000, as nginx. On expiry: close. */
  keepAliveMs: number;
  /**
   * What becomes of a response whose head is written before the request body was read to its end. `close`, the default: it says
   * `Connection: close`, since bytes of a body that nobody reads would be taken for a request. `drain`: the rest of the body is
   * read and dropped after the response, so that the connection can go on; a client that waits for `100 Continue` and got none
   * may leave its body out, so with it the connection closes all the same.
   */
  earlyResponse: "close" | "drain";
  /** For draining, in all. Default 5000, as `lingerMs`. On expiry: the connection closes. */
  drainMs: number;
  /** Bytes that draining reads. Default 16,777,216: beyond, a new connection costs less. Then: close. */
  maxDrainBytes: number;
  /**
   * Whether interim (1xx) responses are passed on. Default `pass`; `drop` keeps `100 Continue` for a client that asked for it by
   * `Expect`, and 101, which is none.
   */
  interim: "pass" | "drop";
  /**
   * What it means that a client ends its direction (FIN) after its whole request, while it has no whole response. `leaves`, the
   * default: it has left, and what is done for it ends. `waits`: it gets its response, and is known to be gone when writing
   * fails; requests that it sent behind this one are served only if the service says `waits`. Within a request body the end of
   * the connection is an error always.
   */
  halfClose: "leaves" | "waits";
}

/** The defaults of the limits, for sessions that no service has options for. */
export const DEFAULT_SESSION_LIMITS: Readonly<SessionLimitValues> = {
  bodyMs: 60_000,
  writeMs: 60_000,
  minSendBytesPerSecond: 0,
  keepAliveMs: 75_000,
  earlyResponse: "close",
  drainMs: 5000,
  maxDrainBytes: 16_777_216,
  interim: "pass",
  halfClose: "leaves",
};

const CHOICES: Readonly<Record<string, readonly string[]>> = {
  earlyResponse: ["close", "drain"],
  interim: ["pass", "drop"],
  halfClose: ["leaves", "waits"],
};

const RATE = "minSendBytesPerSecond";

/**
 * Checks one of {@link SessionLimitValues}.
 * @throws RangeError naming the limit and what was expected.
 */
export function checkSessionLimit<T>(name: string, value: T): T {
  const choices = CHOICES[name];
  if (choices !== undefined) {
    if (choices.includes(value as string)) return value;
    throw new RangeError(`${name}: expected ${choices.join(" or ")}, got ${shown(value)}`);
  }
  // Also false for NaN. For ever is a time, but no rate.
  if (typeof value === "number" && value >= 0 && (name !== RATE || value < Number.POSITIVE_INFINITY)) return value;
  throw new RangeError(`${name}: expected a number of at least 0, got ${shown(value)}`);
}

/**
 * The limits of one exchange: what is set here holds for it alone, the rest is as the service has it. Set them early, in
 * `earlyRequestFilter` for instance: a wait that has begun goes on as it began, and what a head that is written has said of
 * the connection stays said. A name that is no limit is a TypeError.
 */
export class SessionLimits implements SessionLimitValues {
  readonly #service: Readonly<SessionLimitValues>;
  readonly #own: Partial<SessionLimitValues> = {};

  constructor(service: Readonly<SessionLimitValues> = DEFAULT_SESSION_LIMITS) {
    this.#service = service;
    // A misspelt limit would be none.
    Object.preventExtensions(this);
  }

  get bodyMs(): number {
    return this.#own.bodyMs ?? this.#service.bodyMs;
  }

  set bodyMs(ms: number) {
    this.#own.bodyMs = checkSessionLimit("bodyMs", ms);
  }

  get writeMs(): number {
    return this.#own.writeMs ?? this.#service.writeMs;
  }

  set writeMs(ms: number) {
    this.#own.writeMs = checkSessionLimit("writeMs", ms);
  }

  get minSendBytesPerSecond(): number {
    return this.#own.minSendBytesPerSecond ?? this.#service.minSendBytesPerSecond;
  }

  set minSendBytesPerSecond(rate: number) {
    this.#own.minSendBytesPerSecond = checkSessionLimit("minSendBytesPerSecond", rate);
  }

  /**
   * Wait for the first byte of the request after this one. 0: there is to be none, and the response says `Connection: close`;
   * Infinity waits for ever. No value makes a connection go on that was to close.
   */
  get keepAliveMs(): number {
    // For a service, as for every other time, 0 is for ever.
    return this.#own.keepAliveMs ?? (this.#service.keepAliveMs || Number.POSITIVE_INFINITY);
  }

  set keepAliveMs(ms: number) {
    this.#own.keepAliveMs = checkSessionLimit("keepAliveMs", ms);
  }

  get earlyResponse(): "close" | "drain" {
    return this.#own.earlyResponse ?? this.#service.earlyResponse;
  }

  set earlyResponse(what: "close" | "drain") {
    this.#own.earlyResponse = checkSessionLimit("earlyResponse", what);
  }

  get drainMs(): number {
    return this.#own.drainMs ?? this.#service.drainMs;
  }

  set drainMs(ms: number) {
    this.#own.drainMs = checkSessionLimit("drainMs", ms);
  }

  get maxDrainBytes(): number {
    return this.#own.maxDrainBytes ?? this.#service.maxDrainBytes;
  }

  set maxDrainBytes(bytes: number) {
    this.#own.maxDrainBytes = checkSessionLimit("maxDrainBytes", bytes);
  }

  get interim(): "pass" | "drop" {
    return this.#own.interim ?? this.#service.interim;
  }

  set interim(what: "pass" | "drop") {
    this.#own.interim = checkSessionLimit("interim", what);
  }

  get halfClose(): "leaves" | "waits" {
    return this.#own.halfClose ?? this.#service.halfClose;
  }

  set halfClose(what: "leaves" | "waits") {
    this.#own.halfClose = checkSessionLimit("halfClose", what);
  }
}
