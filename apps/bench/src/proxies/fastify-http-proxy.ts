import httpProxy from "@fastify/http-proxy";
import fastify from "fastify";
import { KEEP_ALIVE_MS } from "./keep-alive.ts";
import { portsFromArgv } from "./ports.ts";

const { port, originPort } = portsFromArgv();
const app = fastify({ logger: false, keepAliveTimeout: KEEP_ALIVE_MS });
await app.register(httpProxy, {
  upstream: `http://127.0.0.1:${originPort}`,
  undici: { connections: 128, pipelining: 1 },
  disableRequestLogging: true,
});
await app.listen({ port, host: "127.0.0.1", backlog: 4096 });
