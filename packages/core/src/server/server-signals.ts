import { logger } from "../log/logger.ts";

/** What a server does at a signal. */
export interface SignalActions {
  /** SIGTERM. */
  terminate(): void;
  /** SIGINT. */
  endFast(): void;
  /** One of both, again. */
  endNow(): void;
  /** SIGQUIT. */
  handOver(): void;
  /** SIGHUP. */
  reload(): void;
  /** SIGUSR1. */
  reopenLogs(): void;
}

/** Signals that come closer together than this are one. */
const SAME_SIGNAL_MS = 300;

/** Returns how to undo it. */
export function watchSignals(actions: SignalActions): () => void {
  let received = 0;
  let receivedAtMs = 0;
  const onEnd = (signal: NodeJS.Signals): void => {
    // A terminal's Ctrl-C reaches a program twice when whoever started it passes it on as well.
    if (received > 0 && performance.now() - receivedAtMs < SAME_SIGNAL_MS) return;
    received++;
    receivedAtMs = performance.now();
    logger("core").info({ signal }, received > 1 ? "stopping at once" : "stopping");
    if (received > 1) actions.endNow();
    else if (signal === "SIGINT") actions.endFast();
    else actions.terminate();
  };
  const listeners: Partial<Record<NodeJS.Signals, (signal: NodeJS.Signals) => void>> = {
    SIGTERM: onEnd,
    SIGINT: onEnd,
    SIGQUIT: () => actions.handOver(),
    SIGHUP: () => actions.reload(),
    // Without a listener, Node.js would open its inspector.
    SIGUSR1: () => actions.reopenLogs(),
  };
  return watch(listeners);
}

/**
 * A worker's: SIGTERM ends it, and it is replaced. All else is for the process that has started it, which a terminal or a
 * service manager signals at the same time.
 */
export function watchWorkerSignals(terminate: () => void): () => void {
  return watch({ SIGTERM: terminate, SIGINT: ignore, SIGQUIT: ignore, SIGHUP: ignore, SIGUSR1: ignore });
}

function ignore(): void {
  // That there is a listener is enough.
}

function watch(listeners: Partial<Record<NodeJS.Signals, (signal: NodeJS.Signals) => void>>): () => void {
  const entries = Object.entries(listeners) as [NodeJS.Signals, (signal: NodeJS.Signals) => void][];
  for (const [signal, listener] of entries) process.on(signal, listener);
  return () => {
    for (const [signal, listener] of entries) process.off(signal, listener);
  };
}
