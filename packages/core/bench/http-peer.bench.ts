// What making a peer costs, as apps do once a request: `node packages/core/bench/http-peer.bench.ts`. Prints nanoseconds per peer.
import { strictEqual } from "node:assert";
import { SocketAddress } from "../src/net/socket-address.ts";
import { HttpPeer, type PeerOptions } from "../src/upstreams/http-peer.ts";
import { nanosecondsEach, printLine } from "./median.ts";

const ROUNDS = 300_000;
const backend = { address: SocketAddress.parse("10.0.0.1:8080") };
const ca = "-----BEGIN CERTIFICATE-----";

/** Options are made anew each time, as where they stand in a hook. */
const PEERS: readonly [what: string, make: () => HttpPeer, reuseKey: string][] = [
  ["of an address alone", () => new HttpPeer("10.0.0.1:8080"), "10.0.0.1:8080"],
  ["of a balancer's backend", () => new HttpPeer(backend), "10.0.0.1:8080"],
  ["with three times", () => new HttpPeer(backend, { connectMs: 1000, readMs: 5000, idleMs: 0 }), "10.0.0.1:8080"],
  [
    "with TLS and a name",
    () => new HttpPeer(backend, { tls: true, sni: "example.org" }),
    '["10.0.0.1:8080",true,"example.org",null,"",null]',
  ],
  ["with TLS, HTTP/2 and its own authority", () => new HttpPeer(backend, everything()), keyOfEverything()],
];

for (const [what, make, reuseKey] of PEERS) {
  strictEqual(make().reuseKey, reuseKey);
  const nanoseconds = nanosecondsEach(ROUNDS, make);
  strictEqual(make().reuseKey, reuseKey);
  printLine(what, nanoseconds, "peer");
}

function everything(): PeerOptions {
  return {
    tls: true,
    sni: "example.org",
    group: "a",
    connectMs: 1000,
    readMs: 5000,
    writeMs: 5000,
    idleMs: 10_000,
    maxHttpVersion: 2,
    maxH2Streams: 10,
    ca,
  };
}

function keyOfEverything(): string {
  return new HttpPeer("10.0.0.1:8080", everything()).reuseKey;
}
