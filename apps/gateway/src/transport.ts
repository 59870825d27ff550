import { ProxyError } from "@sluice/error";
import { ioUring, type IoUring } from "@sluice/linux";
import type { GatewayConf } from "./gateway-conf.ts";

/** What carries the connections; `undefined`: Node.js. @throws ProxyError `ConfigError` where the file asks for what this machine has not. */
export function toTransport({ io_uring: wanted }: Pick<GatewayConf, "io_uring">): IoUring | undefined {
  if (!wanted) return undefined;
  try {
    return ioUring();
  } catch (cause) {
    throw ProxyError.internal("ConfigError", `${(cause as Error).message}; without it, io_uring is false`, cause);
  }
}
