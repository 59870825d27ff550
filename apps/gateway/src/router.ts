/** What a route admits, and what it leads to. */
export interface Route<Target> {
  /** Exact name, or `*.name` for all names below it at any depth; lower case. `undefined`: any host, or none. */
  readonly host: string | undefined;
  /** `/`, or a path without a slash at its end; matches itself and what follows it after a slash. */
  readonly pathPrefix: string;
  readonly target: Target;
}

interface PathEntry<Target> {
  readonly prefix: string;
  readonly target: Target;
}

/** Sorted, longest prefix first. */
type PathTable<Target> = PathEntry<Target>[];

/** No name is longer (RFC 1035, section 2.3.4); what is, need not be taken apart. */
const MAX_HOST_CHARS = 255;

/**
 * Finds the most specific route that admits a request: an exact host before `*.name`, a longer `*.name` before a shorter,
 * these before no host; then the longest path prefix. The order in the file does not matter. Where the more specific host
 * has no route for the path, the next one is asked.
 *
 * Hosts are compared without case, port and final dot; paths byte by byte, neither decoded nor resolved.
 */
export class Router<Target> {
  readonly #exact = new Map<string, PathTable<Target>>();
  /** By the name behind `*.`. */
  readonly #wildcard = new Map<string, PathTable<Target>>();
  readonly #anyHost: PathTable<Target> = [];

  constructor(routes: Iterable<Route<Target>>) {
    for (const { host, pathPrefix, target } of routes) {
      const table = this.#tableOf(host);
      table.push({ prefix: pathPrefix, target });
      table.sort((a, b) => b.prefix.length - a.prefix.length);
    }
  }

  /**
   * @param hostField The Host field as it came, or an authority; `undefined` if the request has none.
   * @param path Without query.
   */
  find(hostField: string | undefined, path: string): Target | undefined {
    if (hostField !== undefined && this.#exact.size + this.#wildcard.size > 0) {
      const host = toHostName(hostField);
      const found = findPath(this.#exact.get(host), path) ?? this.#findWildcard(host, path);
      if (found !== undefined) return found;
    }
    return findPath(this.#anyHost, path);
  }

  #findWildcard(host: string, path: string): Target | undefined {
    if (this.#wildcard.size === 0 || host.length > MAX_HOST_CHARS) return undefined;
    for (let dot = host.indexOf(".", 1); dot > 0; dot = host.indexOf(".", dot + 1)) {
      const found = findPath(this.#wildcard.get(host.slice(dot + 1)), path);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #tableOf(host: string | undefined): PathTable<Target> {
    if (host === undefined) return this.#anyHost;
    const wildcard = host.startsWith("*.");
    const tables = wildcard ? this.#wildcard : this.#exact;
    const name = wildcard ? host.slice(2) : host;
    let table = tables.get(name);
    if (table === undefined) tables.set(name, (table = []));
    return table;
  }
}

function findPath<Target>(table: PathTable<Target> | undefined, path: string): Target | undefined {
  if (table === undefined) return undefined;
  for (const { prefix, target } of table) if (isBelow(path, prefix)) return target;
  return undefined;
}

function isBelow(path: string, prefix: string): boolean {
  if (prefix === "/") return true;
  if (!path.startsWith(prefix)) return false;
  return path.length === prefix.length || path.charCodeAt(prefix.length) === SLASH;
}

const SLASH = 0x2f;

function toHostName(field: string): string {
  const bracket = field.startsWith("[") ? field.indexOf("]") : -1;
  const colon = field.indexOf(":", bracket + 1);
  let host = colon < 0 ? field : field.slice(0, colon);
  if (host.endsWith(".")) host = host.slice(0, -1);
  return host.toLowerCase();
}
