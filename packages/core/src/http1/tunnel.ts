import { ProxyError } from "@sluice/error";
import type { Deadline } from "../net/deadline.ts";
import type { Http1ServerOptions } from "./server-options.ts";

type TunnelLimits = Pick<Http1ServerOptions, "tunnelIdleMs" | "tunnelHalfCloseMs">;

/**
 * What a connection, or a stream of HTTP/2, has become by a change of protocol, or by CONNECT: bytes without framing both ways, and each side ends its
 * direction alone. Watches that it does not stay for ever with nobody at its ends.
 */
export class Tunnel {
  readonly #deadline: Deadline;
  readonly #options: TunnelLimits;
  /** One side has ended its direction. */
  #halfClosed = false;

  /** @param deadline Is the tunnel's from now on. */
  constructor(deadline: Deadline, options: TunnelLimits) {
    this.#deadline = deadline;
    this.#options = options;
    this.keep();
  }

  /** Either side has sent something. */
  keep(): void {
    this.#deadline.set(this.#quietMs);
  }

  /** One side has ended its direction, by which it has said something, too. */
  halfClose(): void {
    this.#halfClosed = true;
    this.keep();
  }

  /** Nobody has sent anything in time. */
  timedOut(): ProxyError {
    const context = this.#halfClosed
      ? `one side of the tunnel has ended, and the other sent nothing for ${this.#quietMs} ms`
      : `neither side of the tunnel sent anything for ${this.#quietMs} ms`;
    return new ProxyError("ReadTimedout", { context, status: 408 });
  }

  get #quietMs(): number {
    const { tunnelIdleMs, tunnelHalfCloseMs } = this.#options;
    if (!this.#halfClosed || tunnelHalfCloseMs === 0) return tunnelIdleMs;
    return tunnelIdleMs === 0 ? tunnelHalfCloseMs : Math.min(tunnelIdleMs, tunnelHalfCloseMs);
  }
}
