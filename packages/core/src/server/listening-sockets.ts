import { closeSync } from "node:fs";
import type { Listener } from "../listeners/listener.ts";
import { SocketFile } from "../listeners/socket-file.ts";
import { logger } from "../log/logger.ts";
import type { Service } from "../services/service.ts";

/** What a server listens on, by a key that is the same in the process that comes after it. */
export class ListeningSockets {
  readonly #listeners: ReadonlyMap<string, Listener>;
  /** Of Unix sockets that the server before listens on, and this one does not. */
  readonly #unwantedFiles: SocketFile[] = [];
  readonly #borrowed = new Set<string>();

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
   * Gives listeners what somebody else has bound for them. A descriptor that no listener wants is closed, and told. The files of
   * Unix sockets stay with whoever made them, until {@link tookOver}.
   * @param borrowed Those whose files stay with him for good, as with a service manager.
   */
  adopt(fds: ReadonlyMap<string, number>, borrowed: Iterable<string>): void {
    for (const key of borrowed) this.#borrowed.add(key);
    for (const [key, fd] of fds) {
      const listener = this.#listeners.get(key);
      if (listener === undefined) {
        logger("core").warn({ address: key }, "nobody here listens on a socket that was handed over; closed it");
        closeSync(fd);
        if (key.startsWith("unix:") && !this.#borrowed.has(key))
          this.#unwantedFiles.push(SocketFile.there(key.slice("unix:".length)));
      } else {
        listener.adopt(fd);
      }
    }
  }

  /** The server that had these before goes: they are this one's. The files of Unix sockets that it does not need are removed. */
  tookOver(): void {
    for (const [key, listener] of this.#listeners) if (!this.#borrowed.has(key)) listener.tookOver();
    for (const file of this.#unwantedFiles.splice(0)) file.remove();
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

  /** Those of them whose files are nobody's of this server. */
  get borrowed(): readonly string[] {
    return [...this.#borrowed].filter((key) => this.#listeners.has(key));
  }

  handedOver(): void {
    for (const listener of this.#listeners.values()) listener.handedOver();
  }

  /** Of those that workers accept on: when they have stopped, nobody shall wait there for an answer. */
  leaveToWorkers(): void {
    for (const listener of this.#listeners.values()) listener.closeUnlessAccepting();
  }

  /** Of those that still hold something. */
  close(): void {
    for (const listener of this.#listeners.values()) listener.close();
  }
}
