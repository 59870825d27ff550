// Turns clients away by their address, before a byte of theirs is read.
//
//   node apps/examples/src/connection-filter.ts [LISTEN [UPSTREAM [DENIED_SUBNET…]]]
//   node apps/examples/src/connection-filter.ts 0.0.0.0:8080 127.0.0.1:9001 192.0.2.0/24 2001:db8::/32
import { BlockList, isIPv6 } from "node:net";
import { Server, type AcceptFilter } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";

const [listen = "127.0.0.1:8080", upstream = "127.0.0.1:9001", ...subnets] = process.argv.slice(2);

const denied = new BlockList();
for (const subnet of subnets) {
  const [address = "", prefix] = subnet.split("/");
  denied.addSubnet(address, Number(prefix), isIPv6(address) ? "ipv6" : "ipv4");
}

/** Called once for each connection. It may give a promise as well: others are accepted meanwhile. */
const filter: AcceptFilter = (client) => {
  // On a Unix socket: whoever may open its file may come in.
  if (client?.host === undefined) return true;
  if (!denied.check(client.host, isIPv6(client.host) ? "ipv6" : "ipv4")) return true;
  console.log(`refused ${client.text}`);
  return false;
};

const peer = new HttpPeer(upstream);
const app: ProxyHttp<undefined> = { newCtx: () => undefined, upstreamPeer: () => peer };

const server = new Server();
// For all listeners of the service; a single one takes a filter of its own: listenTcp(address, { acceptFilter }).
const proxy = httpProxy(server, app).setAcceptFilter(filter).listenTcp(listen);
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
