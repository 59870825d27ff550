// A context that travels with each request: users of the beta see another upstream.
//
//   node apps/examples/src/ctx.ts [LISTEN [UPSTREAM [BETA_UPSTREAM]]]
//   curl -H "beta-flag: 1" http://127.0.0.1:8080/
import { Server } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp, type Session } from "@sluice/proxy";

const [listen = "127.0.0.1:8080", upstream = "127.0.0.1:9001", betaUpstream = "127.0.0.1:9002"] = process.argv.slice(2);

/** What one hook leaves for the next. Made anew for each request, so nothing of it has to be cleaned up. */
interface Context {
  beta: boolean;
}

/** Of the whole process. What requests share lives outside of their contexts, in variables like this one… */
let requestCount = 0;

class BetaProxy implements ProxyHttp<Context> {
  /** …or in the app itself: of this service alone. */
  #betaCount = 0;
  readonly #stable = new HttpPeer(upstream);
  readonly #beta = new HttpPeer(betaUpstream);

  newCtx(): Context {
    return { beta: false };
  }

  requestFilter(session: Session, ctx: Context): void {
    ctx.beta = session.request.has("beta-flag");
  }

  upstreamPeer(session: Session, ctx: Context): HttpPeer {
    // Another attempt at the same request is not another user.
    if (session.tries === 1) this.#count(ctx);
    return ctx.beta ? this.#beta : this.#stable;
  }

  #count(ctx: Context): void {
    requestCount++;
    if (ctx.beta) console.log(`beta user ${++this.#betaCount}, request ${requestCount}`);
    else console.log(`request ${requestCount}`);
  }
}

const server = new Server();
const proxy = httpProxy(server, new BetaProxy()).listenTcp(listen);
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
