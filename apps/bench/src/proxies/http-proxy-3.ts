import { Agent, createServer } from "node:http";
import { createProxyServer } from "http-proxy-3";
import { KEEP_ALIVE_MS } from "./keep-alive.ts";
import { portsFromArgv } from "./ports.ts";

const { port, originPort } = portsFromArgv();
const proxy = createProxyServer({
  target: `http://127.0.0.1:${originPort}`,
  agent: new Agent({ keepAlive: true, maxSockets: 256, maxFreeSockets: 256 }),
});
proxy.on("error", (_error, _request, response) => {
  if (!("writeHead" in response) || response.headersSent) response.destroy();
  else response.writeHead(502).end();
});

createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
  proxy.web(request, response);
}).listen(port, "127.0.0.1", 4096);
