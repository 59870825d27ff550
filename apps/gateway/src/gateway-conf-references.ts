import type { z } from "zod";
import { parseAddress } from "./parse-address.ts";

interface Addressed {
  address: string;
}

interface Referring {
  metrics?: Addressed | undefined;
  listeners: readonly (Addressed & { readonly [key: string]: unknown })[];
  upstreams: Readonly<Record<string, { servers: readonly Addressed[]; tls?: object | undefined; http: string }>>;
  routes: readonly { host?: string | undefined; path_prefix: string; upstream: string }[];
}

/** Keys of listeners that one kind of socket has. */
const TCP_KEYS = ["ipv6_only", "so_reuseport", "tcp_keepalive", "tcp_fastopen", "dscp", "tcp_snd_buf", "tcp_recv_buf"];
const UNIX_KEYS = ["mode"];

/** Reports what each part alone cannot know: names that lead nowhere, what is there twice, and what needs something else. */
export function checkReferences(conf: Referring, context: z.RefinementCtx): void {
  const report = (path: PropertyKey[], message: string): void => context.addIssue({ code: "custom", path, message });

  for (const { index, text, earlier } of repeatedAddresses(conf.listeners)) {
    report(["listeners", index, "address"], `${text} is already the address of listeners[${earlier}]`);
  }
  if (conf.metrics !== undefined) {
    const addresses = repeatedAddresses([...conf.listeners, conf.metrics]);
    const repeated = addresses.find(({ index }) => index === conf.listeners.length);
    if (repeated !== undefined) {
      report(["metrics", "address"], `${repeated.text} is already the address of listeners[${repeated.earlier}]`);
    }
  }
  for (const [index, listener] of conf.listeners.entries()) {
    const isUnix = listener.address.startsWith("unix:");
    for (const key of isUnix ? TCP_KEYS : UNIX_KEYS) {
      if (listener[key] === undefined) continue;
      const what = isUnix ? "a Unix socket has no such option; only TCP has" : "only a Unix socket has permissions";
      report(["listeners", index, key], what);
    }
  }
  for (const [name, { servers, tls, http }] of Object.entries(conf.upstreams)) {
    if (http === "negotiate" && tls === undefined) {
      report(
        ["upstreams", name, "http"],
        "negotiate needs tls: without it there is nothing to choose by; expected 1.1 or 2",
      );
    }
    for (const { index, text, earlier } of repeatedAddresses(servers)) {
      report(["upstreams", name, "servers", index], `${text} is already the address of servers[${earlier}]`);
    }
  }

  const names = Object.keys(conf.upstreams);
  const places = new Map<string, number>();
  for (const [index, route] of conf.routes.entries()) {
    if (!names.includes(route.upstream)) {
      const there = names.length === 0 ? "none are defined" : `defined are ${names.join(", ")}`;
      report(["routes", index, "upstream"], `no upstream is named ${JSON.stringify(route.upstream)}; ${there}`);
    }
    const place = `${route.host ?? ""} ${route.path_prefix}`;
    const earlier = places.get(place);
    if (earlier === undefined) places.set(place, index);
    else report(["routes", index], `has the same host and path_prefix as routes[${earlier}]`);
  }
}

interface Repeated {
  index: number;
  text: string;
  /** The index of the first with this address. */
  earlier: number;
}

function repeatedAddresses(list: readonly Addressed[]): Repeated[] {
  const first = new Map<string, number>();
  return list.flatMap(({ address }, index) => {
    const parsed = parseAddress(address);
    // What is no address is reported elsewhere, and port 0 is another port each time.
    if (parsed === undefined || parsed.port === 0) return [];
    const earlier = first.get(parsed.text);
    if (earlier !== undefined) return [{ index, text: parsed.text, earlier }];
    first.set(parsed.text, index);
    return [];
  });
}
