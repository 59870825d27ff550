// Sluice with its hooks on: what the other contenders do not do, it does, and still its figure counts.
import { Server } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { KEEP_ALIVE_MS } from "./keep-alive.ts";
import { portsFromArgv } from "./ports.ts";

const { port, originPort } = portsFromArgv();
let served = 0;

const app: ProxyHttp<{ filtered: number }> = {
  newCtx: () => ({ filtered: 0 }),
  requestFilter(_session, ctx) {
    ctx.filtered++;
  },
  upstreamPeer: () => new HttpPeer(`127.0.0.1:${originPort}`),
  upstreamRequestFilter(_session, request) {
    request.set("x-bench", "1");
  },
  responseFilter(_session, response) {
    response.set("x-proxied", "1");
  },
  logging(_session, _error, ctx) {
    served += ctx.filtered;
  },
};

// Read by the benchmark, which knows how many requests there were.
process.on("exit", () => console.log(`served ${served}`));

const server = new Server();
server.addService(httpProxy(server, app, { http1: { keepAliveMs: KEEP_ALIVE_MS } }).listenTcp(`127.0.0.1:${port}`));
await server.run();
