import { isDeepStrictEqual } from "node:util";
import type { HttpPeer, Service } from "@sluice/core";
import { Upstream } from "./upstream.ts";
import type { UpstreamSettings } from "./upstream-settings.ts";

/** How long a reload waits for the first health checks of what is new; it is then taken as it is, and the checks go on. */
const MAX_READY_MS = 5000;

/** What a replacement did, by name. */
export interface UpstreamChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

interface Entry {
  readonly upstream: Upstream;
  readonly service: Service;
}

type Entries = ReadonlyMap<string, Entry>;

/** The upstreams of a process, with their health checks: runs them, and replaces them while they run. */
export class Upstreams implements Service {
  readonly name = "upstreams";
  readonly #retire: (peer: HttpPeer) => void;
  #entries: Entries;
  #started = false;
  #stopped = false;

  /** @param retire Told of servers that are gone, whose connections nobody wants any more. */
  constructor(settings: Readonly<Record<string, UpstreamSettings>>, retire: (peer: HttpPeer) => void) {
    this.#retire = retire;
    this.#entries = nextEntries(new Map(), settings);
  }

  /** By name. */
  get current(): ReadonlyMap<string, Upstream> {
    return upstreamsOf(this.#entries);
  }

  async start(): Promise<void> {
    this.#started = true;
    await Promise.all([...this.#entries.values()].map(({ service }) => service.start()));
  }

  async stop(force: AbortSignal): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#entries.values()].map(({ service }) => service.stop(force)));
  }

  /**
   * Takes `settings` over. What did not change stays, with its turns and its health. What is new is checked first.
   * @param use Called when that is done, to send requests there; then what is gone ends.
   */
  async replace(
    settings: Readonly<Record<string, UpstreamSettings>>,
    use: (upstreams: ReadonlyMap<string, Upstream>) => void,
  ): Promise<UpstreamChanges> {
    const old = this.#entries;
    const next = nextEntries(old, settings);
    const fresh = [...next.values()].filter((entry) => !has(old, entry));
    if (this.#started) await ready(fresh);
    if (this.#stopped) {
      stopAll(fresh);
      return { added: [], changed: [], removed: [] };
    }
    this.#entries = next;
    use(upstreamsOf(next));
    const gone = [...old.values()].filter((entry) => !has(next, entry));
    for (const { upstream } of gone) upstream.balancer.retire();
    if (this.#started) stopAll(gone);
    this.#retireAll(gone, next);
    return {
      added: namesOf(fresh).filter((name) => !old.has(name)),
      changed: namesOf(fresh).filter((name) => old.has(name)),
      removed: namesOf(gone).filter((name) => !next.has(name)),
    };
  }

  /** But not those that another upstream shares connections with. */
  #retireAll(gone: readonly Entry[], next: Entries): void {
    const wanted = new Set([...next.values()].flatMap(({ upstream }) => keysOf(upstream)));
    for (const { upstream } of gone) {
      for (const peer of upstream.peers) if (!wanted.has(peer.reuseKey)) this.#retire(peer);
    }
  }
}

function nextEntries(old: Entries, settings: Readonly<Record<string, UpstreamSettings>>): Entries {
  return new Map(
    Object.entries(settings).map(([name, own]) => {
      const before = old.get(name);
      if (before !== undefined && isDeepStrictEqual(before.upstream.settings, own)) return [name, before];
      const upstream = new Upstream(name, own, before?.upstream);
      return [name, { upstream, service: upstream.balancer.service(`upstream ${name}`) }];
    }),
  );
}

async function ready(entries: readonly Entry[]): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, MAX_READY_MS);
  await Promise.race([late, Promise.all(entries.map(({ service }) => service.start()))]);
  clearTimeout(timer);
}

/** Nobody waits: a check that is under way ends by itself. */
function stopAll(entries: readonly Entry[]): void {
  for (const { service } of entries) void service.stop(AbortSignal.abort());
}

function has(entries: Entries, { upstream }: Entry): boolean {
  return entries.get(upstream.name)?.upstream === upstream;
}

function upstreamsOf(entries: Entries): ReadonlyMap<string, Upstream> {
  return new Map([...entries].map(([name, { upstream }]) => [name, upstream]));
}

function keysOf({ peers }: Upstream): string[] {
  return Array.from(peers, ({ reuseKey }) => reuseKey);
}

function namesOf(entries: readonly Entry[]): string[] {
  return entries.map(({ upstream }) => upstream.name);
}
