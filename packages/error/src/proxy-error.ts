import type { ErrorDetail } from "./error-detail.ts";
import type { ErrorType } from "./error-type.ts";

/** Who is to blame: the server we called, the client that called us, ourselves, or not said yet. */
export type ErrorSource = "upstream" | "downstream" | "internal" | "unset";

/**
 * May the same request be tried again?
 *
 * `"reusedOnly"` marks a failure that is typical of a pooled connection which the peer had already dropped: yes if the
 * connection came from the pool, no if it was fresh. {@link ProxyError.decideReuse} settles it.
 */
export type Retry = boolean | "reusedOnly";

/** What a {@link ProxyError} may be made with; everything is optional. */
export interface ProxyErrorOptions {
  /** Free text: what was being done, with which peer, what was expected. Never shown to a client. */
  context?: string;
  /** The lower error. If it is a ProxyError, its `retry` is inherited; its source is not. */
  cause?: unknown;
  /** Default `"unset"`. */
  source?: ErrorSource;
  /** Default: the cause's, else `false`. */
  retry?: Retry;
  /** The status that an `HTTPStatus` error asks for, 100 to 999. */
  status?: number;
  /** What the type leaves open. Default: nothing. */
  detail?: ErrorDetail;
}

const SOURCE_NAMES: Readonly<Record<ErrorSource, string>> = {
  upstream: "Upstream",
  downstream: "Downstream",
  internal: "Internal",
  unset: "",
};

/**
 * The one error of all Sluice packages: what failed (`type`), whose fault it was (`source`), whether it may be tried
 * again (`retry`), with free text (`context`) and the lower error (`cause`).
 *
 * `message` is the whole chain in Pingora's form, `Upstream ConnectRefused context: … cause: …`; a source or type equal
 * to that of the link before is not repeated.
 */
export class ProxyError extends Error {
  override readonly name: string = "ProxyError";
  readonly type: ErrorType;
  /** The status an `HTTPStatus` error asks for, else `undefined`. */
  readonly status: number | undefined;
  /** What the type leaves open, in a word to decide by; the context is text for people, and any hook may change it. */
  detail: ErrorDetail | undefined;
  source: ErrorSource;
  retry: Retry;
  context: string | undefined;

  /** @throws RangeError when `status` is given and is not an integer from 100 to 999. */
  constructor(type: ErrorType, options: ProxyErrorOptions = {}) {
    super();
    if (options.status !== undefined) checkStatus(options.status);
    this.type = type;
    this.source = options.source ?? "unset";
    this.context = options.context;
    this.status = options.status;
    this.detail = options.detail;
    if (options.cause !== undefined) this.cause = options.cause;
    this.retry = options.retry ?? (options.cause instanceof ProxyError ? options.cause.retry : false);
    // The stack's first line is made by the Error constructor, before the fields above exist.
    Object.defineProperty(this, "message", { get: () => this.describe(), enumerable: false, configurable: true });
  }

  /** An error of the server side of the proxy: connecting, writing to and reading from an upstream. */
  static upstream(type: ErrorType, context?: string, cause?: unknown): ProxyError {
    return create(type, "upstream", context, cause);
  }

  /** An error of the client: its request, its connection. */
  static downstream(type: ErrorType, context?: string, cause?: unknown): ProxyError {
    return create(type, "downstream", context, cause);
  }

  /** Our own fault, or that of the code that uses us. */
  static internal(type: ErrorType, context?: string, cause?: unknown): ProxyError {
    return create(type, "internal", context, cause);
  }

  /**
   * The application wants this status returned: `throw ProxyError.httpStatus(403, "not on the list")`.
   * @throws RangeError when `status` is not an integer from 100 to 999.
   */
  static httpStatus(status: number, context?: string, cause?: unknown): ProxyError {
    return new ProxyError("HTTPStatus", { ...given(context, cause), status });
  }

  /** A new error of the same type, detail, source and retry mark that adds `context`; this one becomes its cause. */
  moreContext(context: string): ProxyError {
    const options: ProxyErrorOptions = { context, cause: this, source: this.source, retry: this.retry };
    if (this.status !== undefined) options.status = this.status;
    if (this.detail !== undefined) options.detail = this.detail;
    return new ProxyError(this.type, options);
  }

  setContext(context: string): this {
    this.context = context;
    return this;
  }

  /**
   * Replaces the cause. The retry mark stays as it is.
   * @throws TypeError when this error is among the causes of `cause`: the chain would have no end.
   */
  setCause(cause: unknown): this {
    for (let link = cause; link instanceof ProxyError; link = link.cause) {
      if (link === this) throw new TypeError("ProxyError.setCause: an error cannot be a cause of itself");
    }
    this.cause = cause;
    return this;
  }

  setSource(source: ErrorSource): this {
    this.source = source;
    return this;
  }

  setDetail(detail: ErrorDetail): this {
    this.detail = detail;
    return this;
  }

  /** Decides: `true` lets the proxy try again, which calls `upstreamPeer` anew. */
  setRetry(retry: boolean): this {
    this.retry = retry;
    return this;
  }

  /** Settles a `"reusedOnly"` mark by whether the connection came from the pool; a decided mark stays. */
  decideReuse(reused: boolean): this {
    if (this.retry === "reusedOnly") this.retry = reused;
    return this;
  }

  /** Whether to try again. A mark that nobody decided counts as no (Pingora panics there). */
  shouldRetry(): boolean {
    return this.retry === true;
  }

  /** The innermost error of ours, following causes as long as they are ProxyErrors; this one if it has no such cause. */
  rootError(): ProxyError {
    return this.cause instanceof ProxyError ? this.cause.rootError() : this;
  }

  /** Its type. */
  rootType(): ErrorType {
    return this.rootError().type;
  }

  /** The innermost cause, foreign or ours; this error itself if it has none. */
  rootCause(): unknown {
    if (this.cause === undefined) return this;
    return this.cause instanceof ProxyError ? this.cause.rootCause() : this.cause;
  }

  /** Where the innermost cause was thrown; `undefined` if that is no error, or has no stack that can be read. */
  causeStack(): string | undefined {
    const cause = this.rootCause();
    try {
      const stack: unknown = cause instanceof Error ? cause.stack : undefined;
      return typeof stack === "string" ? stack : undefined;
    } catch {
      // It is made when it is read, by the code of whoever has a say in it.
      return undefined;
    }
  }

  /** The whole chain on one line; the same text as `message`. */
  override toString(): string {
    return this.describe();
  }

  private describe(outer?: ProxyError): string {
    let text = outer?.source === this.source ? "" : SOURCE_NAMES[this.source];
    if (outer?.type !== this.type) text += ` ${this.type}`;
    if (this.context !== undefined) text += ` context: ${this.context}`;
    if (this.cause instanceof ProxyError) text += ` cause: ${this.cause.describe(this)}`;
    else if (this.cause !== undefined) text += ` cause: ${describeForeign(this.cause)}`;
    return text;
  }
}

/**
 * Turns whatever was thrown into a ProxyError: one of ours is returned as it is, anything else becomes the cause of an
 * `InternalError`.
 */
export function toProxyError(thrown: unknown, context?: string): ProxyError {
  if (thrown instanceof ProxyError) return thrown;
  return ProxyError.internal("InternalError", context, thrown);
}

/**
 * `value`, or a thrown error of `type` if it is `undefined` or `null`.
 * @throws ProxyError of `type` with `context`, source unset.
 */
export function orError<T>(value: T | undefined | null, type: ErrorType, context: string): T {
  if (value === undefined || value === null) throw new ProxyError(type, { context });
  return value;
}

function checkStatus(status: unknown): void {
  if (Number.isInteger(status) && (status as number) >= 100 && (status as number) <= 999) return;
  throw new RangeError(`ProxyError: status: expected an integer from 100 to 999, got ${String(status)}`);
}

function create(type: ErrorType, source: ErrorSource, context: string | undefined, cause: unknown): ProxyError {
  return new ProxyError(type, { ...given(context, cause), source });
}

function given(context: string | undefined, cause: unknown): ProxyErrorOptions {
  const options: ProxyErrorOptions = {};
  if (context !== undefined) options.context = context;
  if (cause !== undefined) options.cause = cause;
  return options;
}

function describeForeign(cause: unknown): string {
  try {
    return String(cause instanceof Error ? cause.message : cause);
  } catch {
    // Anything can be thrown, also what has no text.
    return "(something that cannot be shown)";
  }
}
