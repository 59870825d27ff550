// Limits how often each client may ask: one that names itself in the field `appid` has LIMIT requests a window.
//
//   node apps/examples/src/rate-limiter.ts [LISTEN [UPSTREAM [LIMIT [WINDOW_MS]]]]
//   curl -i -H "appid: 1" http://127.0.0.1:8080/    and at once again: 429
import { Server } from "@sluice/core";
import { Rate } from "@sluice/limits";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";

const [listen = "127.0.0.1:8080", upstream = "127.0.0.1:9001", limit = "1", windowMs = "1000"] = process.argv.slice(2);

const rate = new Rate({ intervalMs: Number(windowMs) });
const peer = new HttpPeer(upstream);

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,

  requestFilter(session) {
    const client = session.request.get("appid");
    if (client === undefined) return undefined;
    // Refused requests count as well: who does not slow down stays refused.
    if (rate.observe(client) <= Number(limit)) return undefined;
    // It closes the connection, too: what a client that is refused still sends need not be read.
    return session.respondError(429, {
      fields: {
        "X-Rate-Limit-Limit": limit,
        "X-Rate-Limit-Remaining": 0,
        "X-Rate-Limit-Reset": Math.ceil(Number(windowMs) / 1000),
      },
    });
  },

  upstreamPeer: () => peer,
};

const server = new Server();
const proxy = httpProxy(server, app).listenTcp(listen);
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
