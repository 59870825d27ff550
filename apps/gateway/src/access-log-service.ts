import { logger, type Service } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { AccessLog, type Session } from "@sluice/proxy";
import type { GatewayConf } from "./gateway-conf.ts";

/** As in the file; `undefined`: none is written. */
export type AccessLogConf = GatewayConf["access_log"];

/** Refuses to start a gateway whose access log cannot be opened; once, before the workers are there. */
export class AccessLogCheck implements Service {
  readonly name = "access log check";
  readonly oncePerServer = true;
  readonly #conf: AccessLogConf;

  constructor(conf: AccessLogConf) {
    this.#conf = conf;
  }

  /** Rejects as {@link checkAccessLog} throws. */
  start(): Promise<void> {
    try {
      checkAccessLog(this.#conf);
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error instanceof ProxyError ? error.moreContext("access_log.path") : (error as Error));
    }
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * The access log, opened by the process that serves, when it is who it is to be: it must be able to open the file again.
 *
 * A worker that replaces another may come when it cannot, such as after a rotation in a folder of root. Then it serves without one
 * until a reload, and says so: {@link AccessLogCheck} is what keeps a gateway from starting.
 */
export class AccessLogService implements Service {
  readonly name = "access log";
  #conf: AccessLogConf;
  #log: AccessLog | undefined = undefined;
  #started = false;

  constructor(conf: AccessLogConf) {
    this.#conf = conf;
  }

  start(): Promise<void> {
    try {
      this.#log = open(this.#conf);
    } catch (err) {
      logger("gateway").error({ err }, "serves without an access log; a reload tries again");
    }
    this.#started = true;
    return Promise.resolve();
  }

  /** It is written to as long as there are requests; what waits then is written when the process ends. */
  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** Counts for requests that end from now on. In a process that does not serve nothing is opened. */
  replace(conf: AccessLogConf): void {
    const isSame = conf?.path === this.#conf?.path && conf?.format === this.#conf?.format;
    const isMissing = conf !== undefined && this.#log === undefined;
    if ((!isSame || isMissing) && this.#started) {
      const before = this.#log;
      this.#log = open(conf);
      before?.close();
    }
    this.#conf = conf;
  }

  write(session: Session, error: ProxyError | undefined): void {
    this.#log?.write(session, error);
  }
}

/** @throws ProxyError `ConfigError` when the file cannot be opened. It is there afterwards. */
export function checkAccessLog(conf: AccessLogConf): void {
  open(conf)?.close();
}

/** @throws as {@link checkAccessLog}. */
function open(conf: AccessLogConf): AccessLog | undefined {
  if (conf === undefined) return undefined;
  try {
    return new AccessLog({ to: conf.path, format: conf.format });
  } catch (cause) {
    throw ProxyError.internal("ConfigError", `cannot open ${conf.path}: ${(cause as Error).message}`);
  }
}
