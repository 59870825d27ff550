// A module that several proxies can share: only requests that know the code come in.
//
//   node apps/examples/src/use-module.ts [LISTEN [UPSTREAM]]
//   curl -i http://127.0.0.1:8080/
//   curl -i -H "Authorization: basic testcode" http://127.0.0.1:8080/
import { Server, type HttpModule, type HttpModuleBuilder } from "@sluice/core";
import { httpProxy, HttpPeer, ProxyError, type ProxyHttp, type RequestHeader } from "@sluice/proxy";

const [listen = "127.0.0.1:8080", upstream = "127.0.0.1:9001"] = process.argv.slice(2);

/** Refuses whoever does not send the code. Each request has an object of its own. */
class CodeCheck implements HttpModule {
  readonly #code: string;

  constructor(code: string) {
    this.#code = code;
  }

  requestHeader(request: RequestHeader): void {
    if (request.get("authorization") === `basic ${this.#code}`) return;
    throw new ProxyError("HTTPStatus", { source: "downstream", status: 403, context: "the code is missing or wrong" });
  }
}

/** What a proxy registers: the class, and how to make one. */
function codeCheck(code: string): HttpModuleBuilder<CodeCheck> {
  return { type: CodeCheck, init: () => new CodeCheck(code) };
}

const app: ProxyHttp<undefined> = {
  initDownstreamModules: (modules) => void modules.add(codeCheck("testcode")),
  newCtx: () => undefined,
  upstreamPeer: () => new HttpPeer(upstream),
  // The origin need not learn the code.
  upstreamRequestFilter: (_session, request) => void request.remove("authorization"),
};

const server = new Server();
const proxy = httpProxy(server, app).listenTcp(listen);
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
