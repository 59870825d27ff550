// Answers by itself, after work that stands for hooks: what grows with the processes is the server, not an origin.
import { Server } from "@sluice/core";
import { httpProxy, HttpPeer } from "@sluice/proxy";

const [port, threads, workUs] = process.argv.slice(2).map(Number) as [number, number, number];

const server = new Server({ threads });
const proxy = httpProxy(server, {
  newCtx: () => ({}),
  requestFilter(session) {
    const until = performance.now() + workUs / 1000;
    while (performance.now() < until);
    return session.respond(200, { body: "done" });
  },
  upstreamPeer: () => new HttpPeer("127.0.0.1:1"),
});
server.addService(proxy.listenTcp(`127.0.0.1:${port}`));
await server.run();
