import { configureLogs, Server, type ServerConf, type TlsListenSettings } from "@sluice/core";
import { HttpPeer, httpProxy, type HttpProxyService, type PeerOptions, type ProxyHttp } from "@sluice/proxy";
import { opensslTls, type OpensslTlsOptions } from "@sluice/tls-openssl";

/** A line of the log. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface ProxySetup {
  /** Where its requests go. */
  readonly origin?: string;
  readonly peer?: PeerOptions;
  /** Listens with TLS. Default: plaintext. */
  readonly listen?: TlsListenSettings;
  readonly tls?: OpensslTlsOptions;
  readonly conf?: Partial<ServerConf>;
  readonly app?: Partial<ProxyHttp<object>>;
}

/** A running proxy with the provider under test on both sides. */
export class TlsProxy implements AsyncDisposable {
  readonly service: HttpProxyService<object>;
  /** Lines of the log from `info` up. */
  readonly logs: LogLine[] = [];
  readonly server: Server;
  readonly #awaited = new Map<string, (line: LogLine) => void>();

  private constructor({ origin = "127.0.0.1:1", peer = {}, listen, tls, conf, app }: ProxySetup) {
    configureLogs({ levels: "info", destination: { write: (line) => this.#log(JSON.parse(line) as LogLine) } });
    this.server = new Server(conf ?? {});
    const upstreamPeer = (): HttpPeer => new HttpPeer(origin, peer);
    this.service = httpProxy(this.server, { newCtx: () => ({}), upstreamPeer, ...app }, { tls: opensslTls(tls) });
    if (listen === undefined) this.service.listenTcp("127.0.0.1:0");
    else this.service.listenTls("127.0.0.1:0", listen);
    this.server.addService(this.service);
  }

  static async start(setup: ProxySetup): Promise<TlsProxy> {
    const proxy = new TlsProxy(setup);
    await proxy.server.start();
    return proxy;
  }

  get address(): string {
    return this.service.addresses[0]!;
  }

  get port(): number {
    return Number(this.address.split(":")[1]);
  }

  /** The line with that message, which may be still to come. */
  logged(message: string): Promise<LogLine> {
    const line = this.logs.find(({ msg }) => msg === message);
    if (line !== undefined) return Promise.resolve(line);
    return new Promise((resolve) => this.#awaited.set(message, resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop(0);
  }

  #log(line: LogLine): void {
    this.logs.push(line);
    this.#awaited.get(line.msg)?.(line);
    this.#awaited.delete(line.msg);
  }
}
