import type { RequestEventData } from "@sentry/node";
import type { RequestHead, RequestSession } from "./messages.ts";
import { FILTERED, toSecrets } from "./scrub.ts";
import type { ResolvedOptions } from "./sentry-options.ts";

/** What a report tells of a request. */
export interface RequestContext {
  readonly request: RequestEventData;
  /** What the proxy knows of it. */
  readonly proxy: Readonly<Record<string, string | number | boolean | undefined>>;
  /** What must not be told, wherever it turns up. */
  readonly secrets: readonly string[];
}

export type ContextOptions = Pick<ResolvedOptions, "requestFields" | "queryParameters" | "path" | "clientAddress">;

/** A client may send as much as the limits of heads allow. */
const MAX_VALUE_CHARS = 200;
const MAX_PATH_CHARS = 1000;
const MAX_METHOD_CHARS = 32;

/**
 * Only what is on a list is told: fields and parameters of a query by name. Their values are the clients' own otherwise, and what is a
 * secret among them only the app knows.
 */
export function requestContext(session: RequestSession, options: ContextOptions): RequestContext {
  const { request } = session;
  const secrets = toSecrets(secretValues(request, options));
  const headers: Record<string, string> = {};
  for (const [name, value] of request) {
    const key = name.toLowerCase();
    if (!options.requestFields.has(key)) continue;
    headers[key] = cut(headers[key] === undefined ? value : `${headers[key]}, ${value}`, MAX_VALUE_CHARS);
  }
  const query = toldQuery(request.query, options.queryParameters);
  const { outcome, peer } = session;
  return {
    request: {
      method: cut(request.method, MAX_METHOD_CHARS),
      url: toUrl(session, options),
      headers,
      ...(query !== undefined && { query_string: query }),
    },
    proxy: {
      phase: session.phase,
      protocol: `HTTP/${request.version}`,
      status: outcome.status,
      outcome: outcome.how,
      tries: session.tries,
      peer: peer?.toString(),
      reused: peer === undefined ? undefined : session.upstreamReused,
      ...(session.isSubrequest && { subrequest: true }),
      ...(options.clientAddress && { client: session.clientAddress }),
    },
    secrets,
  };
}

/** Without the query, and without a name and a password before the host. */
function toUrl({ request, digest }: RequestSession, options: ContextOptions): string {
  const path = cut(options.path(withoutCredentials(request.path)), MAX_PATH_CHARS);
  if (!path.startsWith("/")) return path;
  const scheme = digest.tls === undefined ? "http" : "https";
  return `${scheme}://${cut(withoutCredentials(request.get("host") ?? ""), MAX_VALUE_CHARS)}${path}`;
}

function withoutCredentials(target: string): string {
  return target.replace(/^((?:[a-z][\w+.-]*:)?\/\/)?[^/@]*@/i, "$1");
}

/** The parameters that may be told, and how many there are beside them: a name may be a secret as well. */
function toldQuery(query: string | undefined, allowed: ReadonlySet<string>): string | undefined {
  if (query === undefined || query === "") return undefined;
  const parts = query.split("&");
  const told = parts.filter((part) => part.includes("=") && allowed.has(part.slice(0, part.indexOf("="))));
  const others = parts.length - told.length;
  const text = [...told.map((part) => cut(part, MAX_VALUE_CHARS)), ...(others > 0 ? [`${FILTERED}×${others}`] : [])];
  return cut(text.join("&"), MAX_PATH_CHARS);
}

function* secretValues(request: RequestHead, options: ContextOptions): Generator<string> {
  for (const [name, value] of request) {
    if (options.requestFields.has(name.toLowerCase())) continue;
    yield value;
    // `Bearer xyz`, `session=xyz; other=abc`
    for (const part of value.split(/[\s;,]+/)) {
      yield part;
      const equals = part.indexOf("=");
      if (equals > 0) yield part.slice(equals + 1);
    }
  }
  const { query } = request;
  if (query === undefined) return;
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    if (equals > 0 && options.queryParameters.has(part.slice(0, equals))) continue;
    yield part;
    if (equals > 0) yield part.slice(equals + 1);
  }
  if (options.queryParameters.size === 0) yield query;
}

function cut(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : `${text.slice(0, maxChars)}…`;
}
