// The proxy of the soak: every hook there is, some of which take their time.
import { setImmediate as nextTurn } from "node:timers/promises";
import { Server } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { portsFromArgv } from "../proxies/ports.ts";
import { answerCensus } from "./census.ts";

const { port, originPort } = portsFromArgv();
const counts = { begun: 0, logged: 0, uncaught: 0 };
process.on("uncaughtException", (error) => {
  counts.uncaught++;
  console.error(error);
});

interface Ctx {
  up: number;
  down: number;
}

const app: ProxyHttp<Ctx> = {
  newCtx() {
    counts.begun++;
    return { up: 0, down: 0 };
  },
  earlyRequestFilter: () => undefined,
  async requestFilter(session) {
    await nextTurn();
    if (session.request.path === "/refused") return session.respond(403, { body: "no" });
    return undefined;
  },
  // Connections that nobody uses are to be gone when the soak looks for what was left.
  upstreamPeer: () => new HttpPeer(`127.0.0.1:${originPort}`, { idleMs: 2000, readMs: 5000, writeMs: 5000 }),
  failToConnect: (_session, _peer, _ctx, error) => error,
  connectedToUpstream: () => undefined,
  upstreamRequestFilter: (_session, request) => void request.set("x-soak", "1"),
  requestBodyFilter(_session, piece, _end, ctx) {
    ctx.up += piece?.length ?? 0;
  },
  upstreamResponseFilter: () => nextTurn(),
  responseFilter: (_session, response) => void response.set("x-soaked", "1"),
  upstreamResponseBodyFilter: () => undefined,
  responseBodyFilter(_session, piece, _end, ctx) {
    ctx.down += piece?.length ?? 0;
  },
  // The connections that the load cuts are no news.
  suppressErrorLog: () => true,
  requestSummary: (session) => session.request.target,
  logging() {
    counts.logged++;
  },
};

answerCensus(() => counts);
const server = new Server();
const http1 = { bodyMs: 5000, writeMs: 5000, keepAliveMs: 5000, tunnelIdleMs: 5000 };
server.addService(httpProxy(server, app, { http1 }).listenTcp(`127.0.0.1:${port}`));
const running = server.run();
process.send!("ready");
await running;
// The channel to whoever started it would keep it.
process.disconnect?.();
