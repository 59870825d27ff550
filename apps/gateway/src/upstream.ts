import { HttpPeer, type PeerOptions } from "@sluice/core";
import { LoadBalancer, roundRobin, tcpHealthCheck, type Backend, type Selection } from "@sluice/load-balancing";
import type { UpstreamConf } from "./gateway-conf.ts";
import { toPeerTlsOptions } from "./tls-conf.ts";

/** One entry of `upstreams` at work. */
export class Upstream {
  readonly name: string;
  readonly balancer: LoadBalancer;
  readonly #peers = new Map<Backend, HttpPeer>();
  readonly #options: PeerOptions;

  constructor(name: string, conf: UpstreamConf) {
    this.name = name;
    this.balancer = createBalancer(conf);
    this.#options = toPeerOptions(name, conf);
  }

  /** @throws ProxyError `NoPeer` when no server is healthy. */
  selectPeer(): HttpPeer {
    return this.#peerOf(this.balancer.select());
  }

  /** A healthy server that is none of `tried`; `undefined` if there is no other. */
  selectOtherPeer(tried: readonly HttpPeer[]): HttpPeer | undefined {
    const backend = this.balancer.trySelect("", {
      accept: (candidate, ready) => ready && !tried.some(({ address }) => address.text === candidate.address.text),
    });
    return backend === undefined ? undefined : this.#peerOf(backend);
  }

  #peerOf(backend: Backend): HttpPeer {
    let peer = this.#peers.get(backend);
    if (peer === undefined) this.#peers.set(backend, (peer = new HttpPeer(backend, this.#options)));
    return peer;
  }
}

const SELECTIONS: Readonly<Record<UpstreamConf["selection"], Selection>> = { round_robin: roundRobin };

function createBalancer(conf: UpstreamConf): LoadBalancer {
  const selection = SELECTIONS[conf.selection];
  const check = conf.health_check;
  if (check === undefined) return LoadBalancer.from(conf.servers, { selection });
  return LoadBalancer.from(conf.servers, {
    selection,
    healthCheck: tcpHealthCheck({ connectMs: check.connect_ms }),
    healthCheckIntervalMs: check.interval_ms,
  });
}

function toPeerOptions(name: string, conf: UpstreamConf): PeerOptions {
  const options: PeerOptions = conf.tls === undefined ? {} : toPeerTlsOptions(conf.tls, `upstreams.${name}.tls`);
  if (conf.http === "2") options.minHttpVersion = 2;
  if (conf.http === "negotiate") options.maxHttpVersion = 2;
  if (conf.connect_ms !== undefined) options.connectMs = conf.connect_ms;
  if (conf.read_ms !== undefined) options.readMs = conf.read_ms;
  if (conf.write_ms !== undefined) options.writeMs = conf.write_ms;
  if (conf.idle_ms !== undefined) options.idleMs = conf.idle_ms;
  return options;
}
