import type { Service } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import { AccessLog, type Session } from "@sluice/proxy";
import type { GatewayConf } from "./gateway-conf.ts";

/** The access log, opened by the process that serves, when it is who it is to be: it must be able to open the file again. */
export class AccessLogService implements Service {
  readonly name = "access log";
  readonly #conf: NonNullable<GatewayConf["access_log"]>;
  #log: AccessLog | undefined = undefined;

  constructor(conf: NonNullable<GatewayConf["access_log"]>) {
    this.#conf = conf;
  }

  start(): Promise<void> {
    const { path, format } = this.#conf;
    this.#log = new AccessLog({ to: path, format });
    return Promise.resolve();
  }

  /** It is written to as long as there are requests; what waits then is written when the process ends. */
  stop(): Promise<void> {
    return Promise.resolve();
  }

  write(session: Session, error: ProxyError | undefined): void {
    this.#log?.write(session, error);
  }
}
