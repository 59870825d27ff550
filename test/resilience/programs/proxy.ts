// The proxy under test: what apps/examples/src/load-balancer.ts does, and tells the test about it.
import { Server } from "../../../packages/core/src/index.ts";
import {
  LoadBalancer,
  tcpHealthCheck,
  type Backend,
  type LoadBalancerOptions,
} from "../../../packages/load-balancing/src/index.ts";
import { defaultErrorWhileProxy, httpProxy, HttpPeer, type ProxyHttp } from "../../../packages/proxy/src/index.ts";
import type { ProxyConfig, ProxyCounts, ProxyEvent } from "../support/messages.ts";
import { parent } from "../support/parent.ts";

const config = parent.config() as ProxyConfig;
const tell = (event: ProxyEvent): void => parent.tell(event);

const backends = LoadBalancer.from(config.upstreams, balancing());

const app: ProxyHttp<{ tries: number; id: string; tried: Backend[] }> = {
  newCtx: () => ({ tries: 0, id: "", tried: [] }),
  upstreamPeer: (session, ctx) => {
    if (ctx.tried.length === 0) ctx.id = /[?&]id=([^&]*)/.exec(session.request.target)?.[1] ?? "";
    const backend = (config.elsewhere ? untried(ctx.tried) : undefined) ?? backends.select();
    ctx.tried.push(backend);
    if (config.report) tell({ kind: "attempt", id: ctx.id, peer: backend.address.text });
    return new HttpPeer(backend);
  },
  // Nothing was sent yet, so another backend may take the request.
  failToConnect: (_session, _peer, ctx, error) => error.setRetry(ctx.tries++ === 0),
  errorWhileProxy: (peer, session, error, _ctx, reused) => {
    const nothingCame = error.retry === "reusedOnly";
    const described = defaultErrorWhileProxy(peer, session, error, reused);
    return config.getAgain && nothingCame && session.request.method === "GET" ? described.setRetry(true) : described;
  },
  logging: (session, error, { id, tried }) => {
    if (!config.report) return;
    const peers = tried.map((backend) => backend.address.text);
    const { tries, responseStatus: status } = session;
    tell({ kind: "request", id, peers, tries, status, error: error?.message });
  },
};

const server = new Server();
server.addService(backends.service());
const service = httpProxy(server, app).listenTcp("127.0.0.1:0");
server.addService(service);
await server.start();

parent.answer({
  counts: (): ProxyCounts => ({ clients: service.connectionCount, idle: service.proxy.connector.pool.idleCount }),
});
// A signal may follow at once: it is told when somebody waits for one.
const over = server.run();
parent.listening(Number(service.addresses[0]!.split(":")[1]));
await over;
process.disconnect?.();

function untried(tried: readonly Backend[]): Backend | undefined {
  return backends.trySelect("", { accept: (backend, ready) => ready && !tried.includes(backend) });
}

function balancing(): LoadBalancerOptions {
  if (config.healthCheckIntervalMs === undefined) return {};
  const onChange = (backend: Backend, healthy: boolean): void =>
    tell({ kind: "health", peer: backend.address.text, healthy });
  const tcp = tcpHealthCheck({ onChange });
  return {
    healthCheckIntervalMs: config.healthCheckIntervalMs,
    healthCheck: {
      ...tcp,
      check: (backend, signal) => {
        tell({ kind: "check", peer: backend.address.text });
        return tcp.check(backend, signal);
      },
    },
  };
}
