import {
  checkOptionNames,
  checkOptionType,
  HttpConnector,
  HttpService,
  nearestName,
  shown,
  type Http1ServerOptions,
  type Http2ServerOptions,
  type HttpApp,
  type HttpConnectorOptions,
  type HttpServiceOptions,
  type Server,
  type ServerSession,
  type SubrequestSession,
  type SocketTransport,
  type TlsProvider,
} from "@sluice/core";
import { checkFieldValue } from "@sluice/http";
import type { ProxyHttp } from "./proxy-http.ts";
import { ProxyStatus, type ProxyStatusOptions } from "./proxy-status.ts";
import { RequestIds, type RequestIdOptions } from "./request-id.ts";
import { runRequest } from "./run-request.ts";
import { moduleLists, type ModuleLists } from "./session-modules.ts";
import { BackgroundSubrequests } from "./subrequest/background-subrequests.ts";
import type { SubrequestInfo } from "./subrequest/subrequest-info.ts";
import { resolveSubrequestLimits, type SubrequestLimits } from "./subrequest/subrequest-limits.ts";
import type { SubrequestHost } from "./subrequest/subrequest-spawner.ts";

export interface HttpProxyOptions {
  /** Name of the service, for logs. Default `HTTP proxy`. */
  name?: string;
  /** How clients are treated. */
  http1?: Partial<Http1ServerOptions>;
  /** How those of HTTP/2 are, where it is to be otherwise; `{ h2c: true }` serves them without TLS. */
  http2?: Partial<Http2ServerOptions>;
  /**
   * TLS, for `listenTls` and for peers with `tls`: what a TLS package gives. Default: none, and asking for TLS is an error.
   */
  tls?: TlsProvider;
  /**
   * Carries connections without TLS, on both sides, in place of Node.js: `ioUring()` of `@sluice/linux`. Default: Node.js does.
   */
  transport?: SocketTransport | undefined;
  /** How upstreams are connected to. Default: what the server's configuration says. */
  connector?: HttpConnectorOptions;
  /** Attempts in total. Default: `max_retries` of the server's configuration. */
  maxAttempts?: number;
  /** Our name in the `Via` field of requests, which RFC 9110 section 7.6.3 demands. Default `sluice`; `false` adds none. */
  via?: string | false;
  /**
   * The `Proxy-Status` field of our own answers (RFC 9209), which tells clients and those who look into their logs that it was
   * the proxy, and why. Default: on answers to requests that failed, with our name and the kind of error and nothing of our
   * insides; `false` adds none.
   */
  proxyStatus?: ProxyStatusOptions | false;
  /**
   * Give each request an id: `session.requestId`, in the access log, and in a field to the upstream and the client. Default:
   * none (`false`); what a client sends in such a field passes as any other.
   */
  requestId?: RequestIdOptions | boolean;
  /** How many subrequests a request may have, and how deep. */
  subrequests?: Partial<SubrequestLimits>;
  /**
   * Serve CONNECT (RFC 9110, section 9.3.6) as a request like all others, whose `upstreamPeer` says where the tunnel leads: to a
   * peer with `tunnel: true`, or through another proxy. Default false: 405. What may be connected to is up to the hooks: without a
   * check, a client can reach all that the proxy can.
   */
  allowConnect?: boolean;
}

/** An app as a proxy: give it sessions, it runs the phases. {@link httpProxy} makes one with its listeners. */
export class HttpProxy<Ctx> implements HttpApp, SubrequestHost {
  readonly app: ProxyHttp<Ctx>;
  readonly connector: HttpConnector;
  /** Attempts in total, at least 1. */
  readonly maxAttempts: number;
  readonly via: string | undefined;
  readonly allowConnect: boolean;
  /** @internal */
  readonly proxyStatus: ProxyStatus | undefined;
  /** @internal */
  readonly moduleLists: ModuleLists;
  readonly subrequestLimits: SubrequestLimits;
  /** @internal */
  readonly requestIds: RequestIds | undefined;
  /** Subrequests that outlive the request they were made for. */
  readonly background: BackgroundSubrequests = new BackgroundSubrequests();
  /** @internal Its service was told to stop. */
  stopping = false;

  /** @throws TypeError when the app lacks a hook that must be there, RangeError when an option is out of range. */
  constructor(
    app: ProxyHttp<Ctx>,
    connector: HttpConnector,
    maxAttempts: number,
    via: string | undefined,
    proxyStatus: ProxyStatusOptions | false = {},
    subrequests: Partial<SubrequestLimits> = {},
    allowConnect: boolean = false,
    requestId: RequestIdOptions | boolean = false,
  ) {
    checkHooks(app);
    if (!Number.isInteger(maxAttempts) || maxAttempts < 1) {
      throw new RangeError(`httpProxy: maxAttempts: expected an integer of at least 1, got ${shown(maxAttempts)}`);
    }
    if (!(connector instanceof HttpConnector)) {
      throw new TypeError(`HttpProxy: expected an HttpConnector, got ${shown(connector)}`);
    }
    checkOptionType("httpProxy", "via", via, "string");
    if (via !== undefined) checkFieldValue("via", via);
    if (typeof allowConnect !== "boolean") {
      throw new TypeError(`httpProxy: allowConnect: expected true or false, got ${shown(allowConnect)}`);
    }
    this.app = app;
    this.connector = connector;
    this.maxAttempts = maxAttempts;
    this.via = via;
    this.allowConnect = allowConnect;
    this.requestIds = requestId === false ? undefined : new RequestIds(requestId === true ? {} : requestId);
    this.moduleLists = moduleLists(app);
    this.subrequestLimits = resolveSubrequestLimits(subrequests);
    this.proxyStatus = proxyStatus === false ? undefined : new ProxyStatus(proxyStatus, via);
  }

  handleRequest(session: ServerSession): Promise<void> {
    return runRequest(this, session);
  }

  handleSubrequest(session: SubrequestSession, info: SubrequestInfo): Promise<void> {
    return runRequest(this, session, info);
  }
}

/** A proxy as a service: add listeners, add it to a server. */
export class HttpProxyService<Ctx> extends HttpService {
  readonly proxy: HttpProxy<Ctx>;

  constructor(name: string, proxy: HttpProxy<Ctx>, options: Partial<HttpServiceOptions>) {
    super(name, proxy, options);
    this.proxy = proxy;
  }

  override async stop(force: AbortSignal): Promise<void> {
    this.proxy.stopping = true;
    await super.stop(force);
    await this.proxy.background.end(force);
    this.proxy.connector.close();
  }
}

/**
 * Makes a proxy service of `app`: `server.addService(httpProxy(server, app).listenTcp("127.0.0.1:8080"))`.
 * @throws TypeError or RangeError for an app or an option that cannot be.
 */
export function httpProxy<Ctx, Conn = unknown>(
  server: Server,
  app: ProxyHttp<Ctx, Conn>,
  options: HttpProxyOptions = {},
): HttpProxyService<Ctx> {
  const { conf } = server ?? {};
  if (conf === undefined) throw new TypeError(`httpProxy: expected a Server first, got ${shown(server)}`);
  checkOptionNames("httpProxy", options, OPTION_NAMES);
  if (options.connector !== undefined) {
    checkOptionNames("httpProxy: connector", options.connector, HttpConnector.OPTION_NAMES);
  }
  const connector = new HttpConnector({
    maxIdle: conf.upstream_keepalive_pool_size,
    bindToV4: conf.client_bind_to_ipv4,
    bindToV6: conf.client_bind_to_ipv6,
    tls: options.tls,
    transport: options.transport,
    ...options.connector,
  });
  const via = options.via === false ? undefined : (options.via ?? "sluice");
  const maxAttempts = options.maxAttempts ?? conf.max_retries;
  const { allowConnect, http2 = {}, proxyStatus, requestId, subrequests, tls, transport } = options;
  const proxy = new HttpProxy(app, connector, maxAttempts, via, proxyStatus, subrequests, allowConnect, requestId);
  return new HttpProxyService(options.name ?? "HTTP proxy", proxy, { ...options.http1, http2, tls, transport });
}

const OPTION_NAMES = [
  "name",
  "http1",
  "http2",
  "tls",
  "transport",
  "connector",
  "maxAttempts",
  "via",
  "proxyStatus",
  "subrequests",
  "allowConnect",
  "requestId",
];

/** Every hook: the compiler sees to it that none is missing. */
const HOOKS: Readonly<Record<keyof ProxyHttp<unknown>, true>> = {
  initDownstreamModules: true,
  initUpstreamModules: true,
  newCtx: true,
  onConnectionReuse: true,
  earlyRequestFilter: true,
  allowSpawningSubrequest: true,
  requestFilter: true,
  proxyUpstreamFilter: true,
  upstreamPeer: true,
  failToConnect: true,
  connectedToUpstream: true,
  upstreamRequestFilter: true,
  requestBodyFilter: true,
  requestTrailerFilter: true,
  adjustUpstreamModules: true,
  upstreamResponseFilter: true,
  upstreamResponseBodyFilter: true,
  upstreamResponseTrailerFilter: true,
  responseFilter: true,
  responseBodyFilter: true,
  responseTrailerFilter: true,
  errorWhileProxy: true,
  failToProxy: true,
  errorPage: true,
  suppressErrorLog: true,
  requestSummary: true,
  logging: true,
  persistConnectionContext: true,
};

/**
 * An app may have methods of its own, but one that is nearly a hook is one that would never run.
 * @throws TypeError for that, for a hook that is no function, and for one that must be there and is not.
 */
function checkHooks(app: object): void {
  if (typeof app !== "object" || app === null) {
    throw new TypeError(`HttpProxy: expected an app, an object with newCtx() and upstreamPeer(), got ${shown(app)}`);
  }
  for (const name of methodNames(app)) {
    if (Object.hasOwn(HOOKS, name)) continue;
    const near = nearestName(name, Object.keys(HOOKS));
    if (near === undefined || Math.abs(near.length - name.length) > 1) continue;
    throw new TypeError(`HttpProxy: the app has ${name}(), which is no hook; did you mean ${near}()?`);
  }
  for (const name of Object.keys(HOOKS)) {
    const hook: unknown = (app as Record<string, unknown>)[name];
    const required = name === "newCtx" || name === "upstreamPeer";
    if (typeof hook === "function" || (hook === undefined && !required)) continue;
    if (hook === undefined) throw new TypeError(`HttpProxy: the app has no ${name}()`);
    throw new TypeError(`HttpProxy: ${name}: expected a function, got ${shown(hook)}`);
  }
}

/** The methods of an object and of the classes it is of. */
function methodNames(app: object): Set<string> {
  const names = new Set<string>();
  for (let object = app; object && object !== Object.prototype; object = Object.getPrototypeOf(object)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(object))) {
      if (typeof value === "function" && name !== "constructor") names.add(name);
    }
  }
  return names;
}
