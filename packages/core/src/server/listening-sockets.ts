import { closeSync } from "node:fs";
import type { Listener } from "../listeners/listener.ts";
import { logger } from "../log/logger.ts";
import type { Service } from "../services/service.ts";

/** What a server listens on, by a key that is the same in the process that comes after it. */
export class ListeningSockets {
  readonly #listeners: ReadonlyMap<string, Listener>;

  /** The key of a listener is its address as it was asked for; a second one with the same has `#2` behind it, and so on. */
  constructor(services: Iterable<Service>) {
    const listeners = new Map<string, Listener>();
    for (const service of services) {
      for (const listener of service.listeners ?? []) {
        const { text } = listener.wanted;
        let key = text;
        for (let nth = 2; listeners.has(key); nth++) key = `${text}#${nth}`;
        listeners.set(key, listener);
      }
    }
    this.#listeners = listeners;
  }

  /**
   * Gives listeners what somebody else has bound for them. A descriptor that no listener wants is closed, and told.
   * @param own Whether the files of Unix sockets belong to this process.
   */
  adopt(fds: ReadonlyMap<string, number>, own: boolean): void {
    for (const [key, fd] of fds) {
      const listener = this.#listeners.get(key);
      if (listener === undefined) {
        logger("core").warn({ address: key }, "nobody here listens on a socket that was handed over; closed it");
        closeSync(fd);
      } else {
        listener.adopt(fd, own);
      }
    }
  }

  /** Binds what is not bound yet. Rejects with the first `BindError`. */
  async reserve(): Promise<void> {
    for (const listener of this.#listeners.values()) await listener.reserve();
  }

  /** Those that are bound. */
  get fds(): ReadonlyMap<string, number> {
    const bound = new Map<string, number>();
    for (const [key, { fd }] of this.#listeners) if (fd !== undefined) bound.set(key, fd);
    return bound;
  }

  handedOver(): void {
    for (const listener of this.#listeners.values()) listener.handedOver();
  }

  /** Of those that still hold something. */
  close(): void {
    for (const listener of this.#listeners.values()) listener.close();
  }
}
