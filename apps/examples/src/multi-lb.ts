// Two groups of backends behind one address: paths below /one/ go to the first, all others to the second.
//
//   node apps/examples/src/multi-lb.ts [LISTEN [GROUP_ONE [GROUP_TWO]]], a group being BACKEND[,BACKEND…]
//   curl http://127.0.0.1:8080/one/index.html
import { Server } from "@sluice/core";
import { LoadBalancer, roundRobin, tcpHealthCheck } from "@sluice/load-balancing";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";

const [
  listen = "127.0.0.1:8080",
  groupOne = "127.0.0.1:9001,127.0.0.1:9002",
  groupTwo = "127.0.0.1:9003,127.0.0.1:9004",
] = process.argv.slice(2);

const one = balancer(groupOne);
const two = balancer(groupTwo);

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,
  upstreamPeer(session) {
    const group = session.request.path.startsWith("/one/") ? one : two;
    return new HttpPeer(group.select());
  },
};

/** Each group has turns and health checks of its own; a backend that is down is left out until it is back. */
function balancer(backends: string): LoadBalancer {
  return LoadBalancer.from(backends.split(","), {
    selection: roundRobin,
    healthCheck: tcpHealthCheck(),
    healthCheckIntervalMs: 1000,
  });
}

const server = new Server();
const proxy = httpProxy(server, app).listenTcp(listen);
// In this order: the proxy listens once both groups were checked for the first time.
server.addService(one.service("group one")).addService(two.service("group two")).addService(proxy);
const stopped = server.run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
