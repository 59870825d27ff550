import {
  checkOptionNames,
  HttpConnector,
  HttpService,
  nearestName,
  type Http1ServerOptions,
  type HttpApp,
  type HttpConnectorOptions,
  type Server,
  type ServerSession,
} from "@sluice/core";
import { checkFieldValue } from "@sluice/http";
import type { ProxyHttp } from "./proxy-http.ts";
import { runRequest } from "./run-request.ts";

export interface HttpProxyOptions {
  /** Name of the service, for logs. Default `HTTP proxy`. */
  name?: string;
  /** How clients are treated. */
  http1?: Partial<Http1ServerOptions>;
  /** How upstreams are connected to. Default: what the server's configuration says. */
  connector?: HttpConnectorOptions;
  /** Attempts in total. Default: `max_retries` of the server's configuration. */
  maxAttempts?: number;
  /** Our name in the `Via` field of requests, which RFC 9110 section 7.6.3 demands. Default `sluice`; `false` adds none. */
  via?: string | false;
}

/** An app as a proxy: give it sessions, it runs the phases. {@link httpProxy} makes one with its listeners. */
export class HttpProxy<Ctx> implements HttpApp {
  readonly app: ProxyHttp<Ctx>;
  readonly connector: HttpConnector;
  /** Attempts in total, at least 1. */
  readonly maxAttempts: number;
  readonly via: string | undefined;

  /** @throws TypeError when the app lacks a hook that must be there, RangeError when an option is out of range. */
  constructor(app: ProxyHttp<Ctx>, connector: HttpConnector, maxAttempts: number, via: string | undefined) {
    checkHookNames(app);
    for (const hook of ["newCtx", "upstreamPeer"] as const) {
      if (typeof app?.[hook] !== "function") throw new TypeError(`HttpProxy: the app has no ${hook}()`);
    }
    if (!Number.isInteger(maxAttempts) || maxAttempts < 1) {
      throw new RangeError(`maxAttempts: expected an integer of at least 1, got ${maxAttempts}`);
    }
    if (via !== undefined) checkFieldValue("via", via);
    this.app = app;
    this.connector = connector;
    this.maxAttempts = maxAttempts;
    this.via = via;
  }

  handleRequest(session: ServerSession): Promise<void> {
    return runRequest(this, session);
  }
}

/** A proxy as a service: add listeners, add it to a server. */
export class HttpProxyService<Ctx> extends HttpService {
  readonly proxy: HttpProxy<Ctx>;

  constructor(name: string, proxy: HttpProxy<Ctx>, options: Partial<Http1ServerOptions>) {
    super(name, proxy, options);
    this.proxy = proxy;
  }

  override async stop(force: AbortSignal): Promise<void> {
    await super.stop(force);
    this.proxy.connector.close();
  }
}

/**
 * Makes a proxy service of `app`: `server.addService(httpProxy(server, app).listenTcp("127.0.0.1:8080"))`.
 * @throws TypeError or RangeError for an app or an option that cannot be.
 */
export function httpProxy<Ctx>(
  server: Server,
  app: ProxyHttp<Ctx>,
  options: HttpProxyOptions = {},
): HttpProxyService<Ctx> {
  const { conf } = server;
  checkOptionNames("httpProxy", options, OPTION_NAMES);
  const connector = new HttpConnector({
    maxIdle: conf.upstream_keepalive_pool_size,
    bindToV4: conf.client_bind_to_ipv4,
    bindToV6: conf.client_bind_to_ipv6,
    ...options.connector,
  });
  const via = options.via === false ? undefined : (options.via ?? "sluice");
  const proxy = new HttpProxy(app, connector, options.maxAttempts ?? conf.max_retries, via);
  return new HttpProxyService(options.name ?? "HTTP proxy", proxy, options.http1 ?? {});
}

const OPTION_NAMES = ["name", "http1", "connector", "maxAttempts", "via"];

const HOOKS: readonly (keyof ProxyHttp<unknown>)[] = [
  "newCtx",
  "earlyRequestFilter",
  "requestFilter",
  "upstreamPeer",
  "failToConnect",
  "connectedToUpstream",
  "upstreamRequestFilter",
  "requestBodyFilter",
  "upstreamResponseFilter",
  "upstreamResponseBodyFilter",
  "responseFilter",
  "responseBodyFilter",
  "errorWhileProxy",
  "failToProxy",
  "suppressErrorLog",
  "requestSummary",
  "logging",
];

/** An app may have methods of its own, but one that is nearly a hook is one that would never run. */
function checkHookNames(app: object): void {
  for (const name of Object.keys(app ?? {})) {
    const near = nearestName(name, HOOKS);
    if (near === undefined || HOOKS.includes(name as keyof ProxyHttp<unknown>)) continue;
    if (typeof (app as Record<string, unknown>)[name] === "function" && Math.abs(near.length - name.length) <= 1) {
      throw new TypeError(`HttpProxy: the app has ${name}(), which is no hook; did you mean ${near}()?`);
    }
  }
}
