import type { Contender } from "./contender.ts";
import { caddy } from "./contenders/caddy.ts";
import { haproxy } from "./contenders/haproxy.ts";
import { nginx, nginxStockBuffers } from "./contenders/nginx.ts";
import { nodeProgram } from "./contenders/node-program.ts";
import { sluice } from "./contenders/sluice.ts";
import { HTTP1, type Wire } from "./wire.ts";

/** What is measured against each other: proxies that speak the same, each as it best can. One table. */
export interface Protocol {
  /** The words of `--workloads` where none are given. */
  readonly workloads: readonly string[];
  /** Everyone who takes part, in the order of a round and of the tables. */
  readonly contenders: readonly Contender[];
  /** Name of the contender that ratios are taken to. */
  readonly yardstick: string;
  /** A sentence for the head of the tables. */
  readonly says: string;
}

/** The words of `--protocols`. */
export type ProtocolName = "h1" | "tls" | "h2" | "h2-tls" | "h2-both";

/** Not a rival, but the floor for what runs on Node.js. */
const relay = (wire: Wire): Contender =>
  nodeProgram({ name: "relay", program: "relay.ts", npmPackage: "@sluice/tls-openssl", wire });

/** Connections without TLS are carried by io_uring, on both sides. */
const byIoUring = (wire: Wire): Contender => sluice(wire, { name: "sluice-io-uring", program: "sluice-io-uring.ts" });

const TLS: Wire = { client: "h1", tls: true, origin: "h1" };
const H2: Wire = { client: "h2", tls: false, origin: "h1" };
const H2_TLS: Wire = { client: "h2", tls: true, origin: "h1" };
const H2_BOTH: Wire = { client: "h2", tls: false, origin: "h2" };

/** All there is to measure, in the order it is measured. */
export const PROTOCOLS: Readonly<Record<ProtocolName, Protocol>> = {
  h1: {
    workloads: ["13", "1k", "64k", "1m", "browser", "upload"],
    contenders: [
      nginx(HTTP1),
      sluice(HTTP1),
      byIoUring(HTTP1),
      sluice(HTTP1, { name: "sluice-every-hook", program: "sluice-every-hook.ts" }),
      haproxy(HTTP1),
      nginxStockBuffers(HTTP1),
      relay(HTTP1),
      nodeProgram({ name: "node:http+undici", program: "node-http-undici.ts", npmPackage: "undici" }),
      nodeProgram({ name: "httpxy", program: "httpxy.ts", npmPackage: "httpxy" }),
      nodeProgram({ name: "http-proxy-3", program: "http-proxy-3.ts", npmPackage: "http-proxy-3" }),
      nodeProgram({
        name: "@fastify/http-proxy",
        program: "fastify-http-proxy.ts",
        npmPackage: "@fastify/http-proxy",
      }),
    ],
    yardstick: "nginx",
    says: "HTTP/1 from clients and to the origin",
  },
  tls: {
    workloads: ["13", "1k", "full-handshake", "resumed-handshake"],
    contenders: [nginx(TLS), sluice(TLS), byIoUring(TLS), relay(TLS), haproxy(TLS), caddy(TLS)],
    yardstick: "nginx",
    says: "HTTP/1 by TLS 1.3 from clients, HTTP/1 to the origin",
  },
  h2: {
    workloads: ["13", "1k"],
    contenders: [nginx(H2), sluice(H2), byIoUring(H2), haproxy(H2), caddy(H2)],
    yardstick: "nginx",
    says: "HTTP/2 from clients, HTTP/1 to the origin",
  },
  "h2-tls": {
    workloads: ["13", "1k"],
    contenders: [nginx(H2_TLS), sluice(H2_TLS), byIoUring(H2_TLS), haproxy(H2_TLS), caddy(H2_TLS)],
    yardstick: "nginx",
    says: "HTTP/2 by TLS 1.3 from clients, HTTP/1 to the origin",
  },
  "h2-both": {
    workloads: ["13", "1k"],
    contenders: [
      sluice(HTTP1, { name: "sluice-h1" }),
      sluice(H2_BOTH),
      byIoUring(H2_BOTH),
      haproxy(H2_BOTH),
      caddy(H2_BOTH),
    ],
    yardstick: "sluice-h1",
    says: "HTTP/2 from clients and to the origin, and sluice-h1, Sluice with HTTP/1 on both sides",
  },
};

/** The protocols that words name, each once, in the order of the words. Throws with a sentence for the user on another word. */
export function chooseProtocols(words: readonly string[]): ProtocolName[] {
  return [...new Set(words)].map((word) => {
    if (!Object.hasOwn(PROTOCOLS, word))
      throw new Error(`--protocols knows ${Object.keys(PROTOCOLS).join(", ")}, not "${word}"`);
    return word as ProtocolName;
  });
}
