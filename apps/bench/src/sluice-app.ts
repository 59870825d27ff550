import { Server } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { KEEP_ALIVE_MS } from "./proxies/keep-alive.ts";
import { portsFromArgv } from "./proxies/ports.ts";

/** What a request of the benchmark carries from hook to hook. */
export interface BenchCtx {
  filtered: number;
}

/** Serves as the contenders that run Sluice do, with the hooks that every check looks for, and with `more` besides. */
export async function serveSluice(more: Partial<ProxyHttp<BenchCtx>> = {}): Promise<void> {
  const { port, originPort } = portsFromArgv();
  let served = 0;
  const app: ProxyHttp<BenchCtx> = {
    ...more,
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
}
