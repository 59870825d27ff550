import { Agent, createServer } from "node:http";
import { createProxyServer } from "httpxy";
import { KEEP_ALIVE_MS } from "./keep-alive.ts";
import { portsFromArgv } from "./ports.ts";

const { port, originPort } = portsFromArgv();
const proxy = createProxyServer({
  target: `http://127.0.0.1:${originPort}`,
  agent: new Agent({ keepAlive: true, maxSockets: 256, maxFreeSockets: 256 }),
});

createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
  proxy.web(request, response).catch(() => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  });
}).listen(port, "127.0.0.1", 4096);
