import { eventChannel, type EventChannel } from "../diagnostics.ts";
import { logger } from "../log/logger.ts";

/** Nobody has caught an error: there is a fault in the program, and its state may be wrong. */
export interface UncaughtErrorMessage {
  readonly error: unknown;
  /** A promise that rejected, or a function that threw. */
  readonly origin: NodeJS.UncaughtExceptionOrigin;
}

/** Errors that nobody has caught in this process. The process drains and ends; see `Server.run`. */
export const uncaughtErrorChannel: EventChannel<UncaughtErrorMessage> = eventChannel("sluice:process:uncaught-error");

/** Reports each error that nobody catches, and calls `onError` with it. Returns how to undo it. */
export function watchUncaughtErrors(onError: (error: unknown) => void): () => void {
  const listener = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin): void => {
    logger("core").fatal({ err: error, origin }, "an error that nobody caught; draining");
    if (uncaughtErrorChannel.hasSubscribers) uncaughtErrorChannel.publish({ error, origin });
    onError(error);
  };
  process.on("uncaughtException", listener);
  return () => void process.off("uncaughtException", listener);
}
