// A load balancer: node apps/examples/src/load-balancer.ts LISTEN UPSTREAM [UPSTREAM…]
import { Server } from "@sluice/core";
import { LoadBalancer, roundRobin, tcpHealthCheck, type Backend } from "@sluice/load-balancing";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";

const [listen, ...upstreams] = process.argv.slice(2);
if (listen === undefined || upstreams.length === 0) {
  console.error("usage: node load-balancer.ts 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002");
  process.exit(2);
}

const backends = LoadBalancer.from(upstreams, {
  selection: roundRobin,
  healthCheck: tcpHealthCheck(),
  healthCheckIntervalMs: 1000,
});

const app: ProxyHttp<{ tried: Backend[] }> = {
  newCtx: () => ({ tried: [] }),
  upstreamPeer(_session, { tried }) {
    const untried = (backend: Backend, ready: boolean) => ready && !tried.includes(backend);
    tried.push(backends.select(undefined, { accept: untried }));
    return new HttpPeer(tried.at(-1)!);
  },
  upstreamRequestFilter(session, outgoing) {
    outgoing.set("X-Forwarded-For", session.clientIp ?? "unknown");
  },
  // Nothing was sent yet, so another backend may take the request.
  failToConnect: (_session, _peer, { tried }, error) => error.setRetry(tried.length < upstreams.length),
};

const server = new Server();
const proxy = httpProxy(server, app).listenTcp(listen);
const stopped = server.addService(backends.service()).addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
