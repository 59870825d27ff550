import { checkOptionNames, checkOptionType, connectSocket } from "@sluice/core";
import type { Backend } from "./backend.ts";
import { checkCount, checkMs } from "./check-option.ts";
import type { HealthCheck } from "./health-check.ts";

export interface TcpHealthCheckOptions {
  /**
   * Time for connecting, name resolution included. Milliseconds, more than 0. Default 1000, as in Pingora: a server that
   * needs a second SYN is not well.
   */
  connectMs?: number;
  /** Successes in a row until an unhealthy backend counts as healthy. Default 1. */
  consecutiveSuccess?: number;
  /** Failures in a row until a healthy backend counts as unhealthy. Default 1. */
  consecutiveFailure?: number;
  /** As {@link HealthCheck.onStatusChange}. */
  onChange?: (backend: Backend, healthy: boolean) => void | Promise<void>;
}

const OPTION_NAMES = ["connectMs", "consecutiveSuccess", "consecutiveFailure", "onChange"];

/** `connectSocket` has its own, more telling timeout; the total only catches what that one misses. */
const MARGIN_MS = 1000;

/**
 * A backend is well if it accepts a connection, which is closed at once. That shows that a process listens, not that it
 * answers.
 * @throws RangeError when an option is out of its range, TypeError when it is not known or of another type.
 */
export function tcpHealthCheck(options: TcpHealthCheckOptions = {}): HealthCheck {
  checkOptionNames("tcpHealthCheck", options, OPTION_NAMES);
  checkOptionType("tcpHealthCheck", "onChange", options.onChange, "function");
  const connectMs = checkMs("tcpHealthCheck: connectMs", options.connectMs ?? 1000);
  return {
    async check(backend, signal) {
      const socket = await connectSocket(backend.address, { connectMs }, signal);
      // A server may reset a connection that says nothing, before ours is gone.
      socket.on("error", () => undefined);
      socket.destroy();
    },
    timeoutMs: connectMs + MARGIN_MS,
    consecutiveSuccess: checkCount("tcpHealthCheck: consecutiveSuccess", options.consecutiveSuccess ?? 1),
    consecutiveFailure: checkCount("tcpHealthCheck: consecutiveFailure", options.consecutiveFailure ?? 1),
    ...(options.onChange === undefined ? {} : { onStatusChange: options.onChange }),
  };
}
