/**
 * What a user of the packages writes: an origin, a balancing proxy before it, one request. Prints what came back and ends by
 * itself; a listener or a timer left behind would keep it alive and fail the test by its time limit.
 * As text, since it runs outside this workspace.
 */
export const PROGRAM = `\
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Server } from "@sluice/core";
import { LoadBalancer, roundRobin, tcpHealthCheck } from "@sluice/load-balancing";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";

const origin = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  response.setHeader("x-origin", "yes");
  response.end([request.method, request.url, request.headers["x-added"], body].join(" "));
});
await once(origin.listen(0, "127.0.0.1"), "listening");
const { port } = origin.address() as AddressInfo;

const backends = LoadBalancer.from([\`127.0.0.1:\${port}\`], { selection: roundRobin, healthCheck: tcpHealthCheck() });

const app: ProxyHttp<{ tries: number }> = {
  newCtx: () => ({ tries: 0 }),
  upstreamPeer: () => new HttpPeer(backends.select()),
  upstreamRequestFilter: (_session, request, ctx) => {
    request.set("x-added", \`by-the-proxy-\${ctx.tries}\`);
  },
};

const server = new Server();
const service = httpProxy(server, app).listenTcp("127.0.0.1:0");
server.addService(backends.service()).addService(service);
await server.start();

const response = await fetch(\`http://\${service.addresses[0]}/path?query\`, { method: "POST", body: "hello" });
const text = await response.text();
await server.stop();
origin.close();
console.log(response.status, response.headers.get("x-origin"), text);
`;

/** A line that the program prints; others are the log. */
export const EXPECTED = "200 yes POST /path?query by-the-proxy-0 hello";
