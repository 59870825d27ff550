import { ProxyError } from "@sluice/error";
import type { Service } from "./service.ts";

/**
 * Which services there are, and which wait for which. A service of which nothing else is said waits for all that were added
 * before it.
 */
export class ServiceGraph {
  /** What each waits for, in the order in which they were added; `undefined`: for all before it. */
  readonly #services = new Map<Service, Set<Service> | undefined>();

  /**
   * @param after What to wait for, instead of all that were added before. May be added later.
   * @throws ProxyError when it is there already, or would wait for itself.
   */
  add(service: Service, after?: readonly Service[]): void {
    if (this.#services.has(service)) throw misuse(`the service ${service.name} was added twice`);
    this.#services.set(service, undefined);
    if (after === undefined) return;
    this.#services.set(service, new Set());
    for (const other of after) this.depend(service, other);
  }

  /**
   * Makes `service` wait for `other`, and no longer for all that were added before it.
   * @throws ProxyError that names the services of a circle, or one that is not there.
   */
  depend(service: Service, other: Service): void {
    if (!this.#services.has(service))
      throw misuse(`the service ${service.name} is to wait for others and was not added`);
    const circle = this.#pathTo(service, other);
    if (circle !== undefined) throw circular([service, ...circle]);
    const after = this.#services.get(service) ?? new Set();
    this.#services.set(service, after.add(other));
  }

  /** What a service was said to wait for. */
  said(service: Service): readonly Service[] {
    return [...(this.#services.get(service) ?? [])];
  }

  /**
   * All of them, each behind what it waits for; otherwise as they were added.
   * @param besides What a service waits for besides; must be there.
   * @throws ProxyError for one that waits for a service which was never added, and for a circle.
   */
  order(besides: (service: Service) => readonly Service[] = () => []): ReadonlyMap<Service, readonly Service[]> {
    const sorted = new Map<Service, readonly Service[]>();
    const visit = (service: Service, way: readonly Service[]): void => {
      if (sorted.has(service)) return;
      if (way.includes(service)) throw circular([...way.slice(way.indexOf(service)), service]);
      const own = this.#services.get(service);
      const after = [...(own ?? []), ...besides(service)];
      for (const other of after) {
        if (!this.#services.has(other)) {
          throw misuse(`the service ${service.name} waits for ${other.name}, which was not added`);
        }
        visit(other, [...way, service]);
      }
      sorted.set(service, own === undefined ? [...sorted.keys()] : after);
    };
    for (const service of this.#services.keys()) visit(service, []);
    return sorted;
  }

  /** From `from` to `to`, each waiting for the next; `undefined` if there is no such way. */
  #pathTo(to: Service, from: Service): Service[] | undefined {
    if (from === to) return [to];
    for (const next of this.#services.get(from) ?? []) {
      const rest = this.#pathTo(to, next);
      if (rest !== undefined) return [from, ...rest];
    }
    return undefined;
  }
}

function circular(services: readonly Service[]): ProxyError {
  const names = services.map(({ name }) => name).join(" -> ");
  return misuse(`circular service dependency: ${names} (each waits for the next)`);
}

function misuse(what: string): ProxyError {
  return ProxyError.internal("InternalError", what);
}
