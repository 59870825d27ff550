// A gateway: who may come in, where to, what answers look like, and what is told about it.
//
//   node apps/examples/src/gateway.ts [LISTEN [UPSTREAM [FAMILY_UPSTREAM [METRICS]]]]
//   curl -i http://127.0.0.1:8080/login                               403
//   curl -i -H "Authorization: password" http://127.0.0.1:8080/login  the upstream's answer
//   curl http://127.0.0.1:9090/metrics
import { HttpService, logger, Server, type HttpApp } from "@sluice/core";
import { httpProxy, HttpPeer, ResponseHeader, type ProxyHttp } from "@sluice/proxy";

const [
  listen = "127.0.0.1:8080",
  upstream = "127.0.0.1:9001",
  familyUpstream = "127.0.0.1:9002",
  metricsListen = "127.0.0.1:9090",
] = process.argv.slice(2);

const log = logger("gateway");
const main = new HttpPeer(upstream);
const family = new HttpPeer(familyUpstream);
let requestCount = 0;

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,

  // Who answers here goes no further: no upstream sees the request. The path is compared as it came: `/%6cogin`, `//login` and
  // `/x/../login` pass, and are the same page to some upstreams. What matters is guarded by the upstream itself, or by a list of
  // the paths that may pass instead of those that may not.
  requestFilter(session) {
    const { request } = session;
    if (!request.path.startsWith("/login") || request.get("authorization") === "password") return undefined;
    return session.respond(403, { body: "no way!" });
  },

  upstreamPeer: (session) => (session.request.path.startsWith("/family") ? family : main),

  responseFilter(_session, response) {
    response.set("Server", "MyGateway");
    // It would send browsers past us.
    response.remove("alt-svc");
  },

  // Last of all and always, also for requests that failed or were refused.
  logging(session, error) {
    requestCount++;
    const { method, target } = session.request;
    log.info({ method, target, status: session.responseStatus ?? 0, error: error?.message }, "request");
  },
};

/** An app that is no proxy: it answers itself. This is what a scraper of metrics reads. */
const metrics: HttpApp = {
  async handleRequest(session) {
    const body = Buffer.from(`# TYPE req_counter counter\nreq_counter ${requestCount}\n`);
    const header = ResponseHeader.build(200, { "Content-Type": "text/plain; version=0.0.4" });
    session.writeHeader(header.setContentLength(body.length), false);
    session.writeBody(body);
    session.finish();
  },
};

const server = new Server();
const proxy = httpProxy(server, app, { name: "gateway" }).listenTcp(listen);
const metricsService = new HttpService("metrics", metrics).listenTcp(metricsListen);
const stopped = server.addService(proxy).addService(metricsService).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}, metrics on ${metricsService.addresses.join(", ")}`);
await stopped;
