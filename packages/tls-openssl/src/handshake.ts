import type { AdoptedTlsSocket } from "./adopted-tls-socket.ts";

/**
 * Waits for the handshake of a socket, whose control the caller has from then on. Rejects with what `failed` makes of the error that the
 * socket reports, with `late` after `limitMs` (0: none), or with the signal's reason; the socket is closed then.
 * @param begin Called once all is prepared.
 */
export function handshake(
  socket: AdoptedTlsSocket,
  limitMs: number,
  late: () => Error,
  signal: AbortSignal | undefined,
  failed: (error: Error | undefined) => Error,
  begin?: () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined = undefined;
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      socket.off("secure", onSecure).off("error", onError).off("close", onClose);
    };
    const giveUp = (error: unknown): void => {
      settle();
      // Nobody waits for it any more, nor for its errors.
      socket.on("error", ignore);
      socket.destroy();
      reject(error);
    };
    const onSecure = (): void => {
      settle();
      socket.secureConnecting = false;
      socket.release();
      resolve();
    };
    const onError = (error: Error): void => giveUp(failed(error));
    const onClose = (): void => giveUp(failed(undefined));
    const onAbort = (): void => giveUp(signal?.reason);
    if (signal?.aborted === true) {
      giveUp(signal.reason);
      return;
    }
    socket.on("secure", onSecure).on("error", onError).on("close", onClose);
    signal?.addEventListener("abort", onAbort);
    if (limitMs > 0) timer = setTimeout(() => giveUp(late()), limitMs).unref();
    begin?.();
  });
}

function ignore(): void {}
