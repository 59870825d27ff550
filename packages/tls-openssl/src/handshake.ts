import { partFrom } from "@sluice/core";
import type { AdoptedTlsSocket } from "./adopted-tls-socket.ts";
import type { HandshakeWatch } from "./handshake-watch.ts";

/**
 * Waits for the handshake of a socket, whose control the caller has from then on. Rejects with what `failed` makes of the error that the
 * socket reports, with the reason that `watch` has, or with the signal's; the socket is closed then.
 * @param signal The one that `watch` looks at.
 * @param begin Called once all is prepared.
 */
export function handshake(
  socket: AdoptedTlsSocket,
  watch: HandshakeWatch,
  signal: AbortSignal | undefined,
  failed: (error: Error | undefined) => Error,
  begin?: () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let isOver: (() => void) | undefined = undefined;
    const giveUp = (error: unknown): void => {
      socket.waiter = undefined;
      isOver?.();
      // Node's own listener, of those whose control nobody took, hears its errors.
      socket.destroy();
      reject(error);
    };
    if (signal?.aborted === true) {
      giveUp(signal.reason);
      return;
    }
    if (socket.destroyed) {
      giveUp(failed(socket.errored ?? undefined));
      return;
    }
    socket.waiter = {
      onSecure() {
        socket.waiter = undefined;
        isOver?.();
        socket.secureConnecting = false;
        socket.release();
        resolve();
      },
      onRefused(error) {
        socket.waiter = undefined;
        isOver?.();
        reject(failed(error));
        partFrom(socket);
      },
      onDestroyed: (error) => giveUp(failed(error)),
    };
    socket.on("secure", onSecure);
    isOver = watch.add(giveUp);
    begin?.();
  });
}

function onSecure(this: AdoptedTlsSocket): void {
  this.waiter?.onSecure();
}
