// An upstream without a network: connections to it are streams in memory, to a server in this very process.
//
//   node apps/examples/src/virtual-l4.ts [LISTEN]
//   curl -i http://127.0.0.1:8080/
import { createServer } from "node:http";
import { duplexPair } from "node:stream";
import { Server } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";

const [listen = "127.0.0.1:8080"] = process.argv.slice(2);

/** It listens nowhere, and is given its connections by hand. */
const origin = createServer((_request, response) => {
  response.setHeader("Content-Length", 13).end("Hello, world!");
});

const peer = new HttpPeer("virtual.invalid:80", {
  // Any half-open stream will do: a tunnel through another host, for instance. Pooled and timed like all connections.
  connectStream() {
    const [ours, theirs] = duplexPair({ allowHalfOpen: true });
    origin.emit("connection", theirs);
    return Promise.resolve(ours);
  },
});

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,
  upstreamPeer: () => peer,
  logging: (session) => console.log(session.upstreamReused ? "served by a pooled stream" : "served by a new stream"),
};

const server = new Server();
const proxy = httpProxy(server, app).listenTcp(listen);
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
