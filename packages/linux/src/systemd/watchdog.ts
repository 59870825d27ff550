import { notifySystemd } from "./notify.ts";

/**
 * How often systemd wants to hear from this process (`WatchdogSec=` of the unit). Milliseconds; `undefined` when it does not,
 * or when it means another process.
 */
export function watchdogIntervalMs(env: NodeJS.ProcessEnv = process.env): number | undefined {
  const us = Number(env["WATCHDOG_USEC"]);
  const pid = env["WATCHDOG_PID"];
  if (!Number.isFinite(us) || us <= 0) return undefined;
  return pid === undefined || pid === String(process.pid) ? us / 1000 : undefined;
}

/** A {@link startWatchdog} that runs. */
export interface Watchdog {
  stop(): void;
}

/**
 * Tells systemd that the event loop turns, twice as often as it asks for; when it does not turn any more, systemd ends the
 * process. The timer does not keep the process alive.
 * @param onError Called when it could not be told, once until it can be again.
 * @param isAlive Asked each time: `false` keeps silent, so that systemd acts. Default: always alive.
 * @returns `undefined` when systemd does not ask for it.
 */
export function startWatchdog(
  onError: (error: unknown) => void,
  isAlive: () => boolean = () => true,
  env: NodeJS.ProcessEnv = process.env,
): Watchdog | undefined {
  const intervalMs = watchdogIntervalMs(env);
  if (intervalMs === undefined) return undefined;
  let fails = false;
  const tell = (): void => {
    if (!isAlive()) return;
    try {
      notifySystemd({ watchdog: true }, env);
      fails = false;
    } catch (error) {
      if (!fails) onError(error);
      fails = true;
    }
  };
  tell();
  const timer = setInterval(tell, Math.max(1, Math.floor(intervalMs / 2))).unref();
  return { stop: () => clearInterval(timer) };
}
