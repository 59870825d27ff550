/** A DNS name, or a wildcard for its leftmost label (RFC 9525, section 6.3). */
const NAME = /^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;

/** What is there for a name: an exact one wins over a wildcard, which stands for one label. */
export class CertificateNames<T> {
  readonly #exact = new Map<string, T>();
  /** By what follows the `*`: `.example.org`. */
  readonly #wildcards = new Map<string, T>();

  /** Whether `name` can be one: `example.org`, `*.example.org`; upper case and a dot at the end do not matter. */
  static isName(name: string): boolean {
    return NAME.test(normalise(name));
  }

  /** What was set for the name in just this form. */
  get(name: string): T | undefined {
    const plain = normalise(name);
    return plain.startsWith("*.") ? this.#wildcards.get(plain.slice(1)) : this.#exact.get(plain);
  }

  set(name: string, value: T): void {
    const plain = normalise(name);
    if (plain.startsWith("*.")) this.#wildcards.set(plain.slice(1), value);
    else this.#exact.set(plain, value);
  }

  /** What serves a client that asks for `serverName`. */
  find(serverName: string): T | undefined {
    const plain = normalise(serverName);
    const exact = this.#exact.get(plain);
    if (exact !== undefined || this.#wildcards.size === 0) return exact;
    const dot = plain.indexOf(".");
    return dot > 0 ? this.#wildcards.get(plain.slice(dot)) : undefined;
  }
}

function normalise(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith(".") ? lower.slice(0, -1) : lower;
}
