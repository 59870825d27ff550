import { HttpPeer } from "@sluice/core";
import {
  LoadBalancer,
  roundRobin,
  tcpHealthCheck,
  type Backend,
  type LoadBalancerOptions,
  type Selection,
} from "@sluice/load-balancing";
import type { UpstreamSettings } from "./upstream-settings.ts";

/** One entry of `upstreams` at work. It never changes: a reload makes another. */
export class Upstream {
  readonly name: string;
  readonly settings: UpstreamSettings;
  readonly balancer: LoadBalancer;
  readonly #peers: ReadonlyMap<Backend, HttpPeer>;

  /** @param before What it takes the place of; servers that are in both keep their health. */
  constructor(name: string, settings: UpstreamSettings, before?: Upstream) {
    this.name = name;
    this.settings = settings;
    this.balancer = createBalancer(name, settings, before?.balancer);
    this.#peers = new Map(this.balancer.backends.map((backend) => [backend, new HttpPeer(backend, settings.peer)]));
  }

  /** All its servers. */
  get peers(): Iterable<HttpPeer> {
    return this.#peers.values();
  }

  /** @throws ProxyError `NoPeer` when no server is healthy. */
  selectPeer(): HttpPeer {
    return this.#peers.get(this.balancer.select())!;
  }

  /** A healthy server that is none of `tried`; `undefined` if there is no other. */
  selectOtherPeer(tried: readonly HttpPeer[]): HttpPeer | undefined {
    const backend = this.balancer.trySelect("", {
      accept: (candidate, ready) => ready && !tried.some(({ address }) => address.text === candidate.address.text),
    });
    return backend === undefined ? undefined : this.#peers.get(backend);
  }
}

const SELECTIONS: Readonly<Record<UpstreamSettings["selection"], Selection>> = { round_robin: roundRobin };

function createBalancer(name: string, settings: UpstreamSettings, before: LoadBalancer | undefined): LoadBalancer {
  const options: LoadBalancerOptions = {
    name,
    selection: SELECTIONS[settings.selection],
    ...(before !== undefined && { successorOf: before }),
  };
  const check = settings.healthCheck;
  if (check === undefined) return LoadBalancer.from(settings.servers, options);
  return LoadBalancer.from(settings.servers, {
    ...options,
    healthCheck: tcpHealthCheck({ connectMs: check.connect_ms }),
    healthCheckIntervalMs: check.interval_ms,
  });
}
