// Tries again when an upstream cannot be reached, and waits longer each time: 10, 100, 1000, 10,000 ms, then 502.
//
//   node apps/examples/src/backoff-retry.ts [LISTEN [UPSTREAM [BASE_MS [CONF]]]]
//   curl -i http://127.0.0.1:8080/        start the upstream meanwhile, and the request is served
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { loadServerConf, Server } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";

const CONF = fileURLToPath(new URL("../conf/backoff-retry.yaml", import.meta.url));
const MAX_WAIT_MS = 10_000;

const [listen = "127.0.0.1:8080", upstream = "127.0.0.1:9001", baseMs = "10", conf = CONF] = process.argv.slice(2);

const peer = new HttpPeer(upstream, { connectMs: 100 });

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,

  // Runs once an attempt. While it waits, only this request does; a client that leaves ends the wait.
  async upstreamPeer(session) {
    const retries = session.tries - 1;
    if (retries > 0) await setTimeout(Math.min(Number(baseMs) ** retries, MAX_WAIT_MS));
    return peer;
  },

  // No connection, so nothing was sent: any request may be tried again, a POST as well. How often, `max_retries` says.
  failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true),
};

const server = new Server(loadServerConf(conf));
const proxy = httpProxy(server, app).listenTcp(listen);
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
