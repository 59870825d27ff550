import { Server, type SocketTransport, type TlsListenSettings, type TlsProvider } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { KEEP_ALIVE_MS } from "./proxies/keep-alive.ts";
import { sluiceArgs } from "./proxies/sluice-args.ts";

/** What a request of the benchmark carries from hook to hook. */
interface BenchCtx {
  filtered: number;
}

/** How the contenders that run Sluice differ. */
interface Variant {
  /** Hooks besides those that every check looks for. */
  readonly hooks?: Partial<ProxyHttp<BenchCtx>>;
  /** What speaks TLS, where the command line asks for it. */
  readonly tls?: TlsProvider;
  /** What carries its connections. */
  readonly transport?: SocketTransport;
}

/** Serves as the command line says, with the hooks that every check looks for. */
export async function serveSluice({ hooks = {}, tls, transport }: Variant = {}): Promise<void> {
  const { port, originPort, clientH2, originH2, certificate } = sluiceArgs();
  let served = 0;
  const app: ProxyHttp<BenchCtx> = {
    ...hooks,
    newCtx: () => ({ filtered: 0 }),
    requestFilter(_session, ctx) {
      ctx.filtered++;
    },
    upstreamPeer: originH2
      ? () => new HttpPeer(`127.0.0.1:${originPort}`, { minHttpVersion: 2 })
      : () => new HttpPeer(`127.0.0.1:${originPort}`),
    upstreamRequestFilter(_session, request) {
      request.set("x-bench", "1");
    },
    responseFilter(_session, response) {
      response.set("x-proxied", "1");
    },
    logging(_session, _error, ctx) {
      served += ctx.filtered;
    },
  };
  // Read by the benchmark, which knows how many requests there were.
  process.on("exit", () => console.log(`served ${served}`));
  const server = new Server();
  const service = httpProxy(server, app, {
    http1: { keepAliveMs: KEEP_ALIVE_MS },
    http2: { h2c: clientH2 && certificate === undefined, keepAliveMs: KEEP_ALIVE_MS },
    ...(tls && { tls }),
    ...(transport && { transport }),
  });
  const address = `127.0.0.1:${port}`;
  server.addService(certificate ? service.listenTls(address, tlsSettings(certificate)) : service.listenTcp(address));
  await server.run();
}

/** TLS 1.3, as the others have it; all else as it comes. */
function tlsSettings({ cert, key }: { cert: string; key: string }): TlsListenSettings {
  return { certificates: [{ cert: { file: cert }, key: { file: key } }], minVersion: "1.3" };
}
