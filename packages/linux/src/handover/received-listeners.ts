import type { PeerCredentials } from "../ffi/unix-socket.ts";
import { LinuxError } from "../linux-error.ts";
import type { HandedListener } from "./handed-listener.ts";
import type { HandoverConnection } from "./handover-connection.ts";
import { limitOf } from "./wait-until.ts";

/** How the old process took it that this one serves. */
export type OldProcess =
  /** It stops accepting and ends when its requests are done. */
  | "draining"
  /** It ended without a word, or has none within seconds. This process serves; two that do harm less than none. */
  | "gone";

/** How long the old process may take to answer that it has heard. */
const ANSWER_MS = 10_000;

/** Listening sockets that came from another process, which waits to hear what becomes of them. */
export class ReceivedListeners {
  /**
   * In the order of the old process. Close-on-exec. They are yours to close, all of them, whatever comes of it; a server does it
   * with the one that it was given by `server.listen({ fd })`.
   */
  readonly listeners: readonly HandedListener[];
  /** What the old process was told to tell of its environment; not checked further. */
  readonly variables: Readonly<Record<string, string>>;
  /** The old process. */
  readonly from: PeerCredentials;
  readonly #connection: HandoverConnection;
  readonly #attempted: string;

  constructor(
    connection: HandoverConnection,
    listeners: readonly HandedListener[],
    variables: Readonly<Record<string, string>>,
    from: PeerCredentials,
    attempted: string,
  ) {
    this.#connection = connection;
    this.listeners = listeners;
    this.variables = variables;
    this.from = from;
    this.#attempted = attempted;
  }

  /**
   * Tells the old process that this one serves, and that it may stop.
   * @throws LinuxError `ECANCELED` when it does not want any more, as after waiting too long: it goes on serving, and this process
   *   should end.
   */
  async serving(): Promise<OldProcess> {
    const limit = limitOf(ANSWER_MS, undefined);
    try {
      // When it has closed, its last word is still to be read.
      await this.#connection.send({ type: "serving" }, [], limit).catch(() => undefined);
      const answer = await this.#connection.receive(limit, "its answer").catch(() => undefined);
      if (answer === undefined) return "gone";
      if (answer.type === "draining") return "draining";
      const reason = answer.type === "refused" ? answer.reason : `it sent an unexpected ${answer.type}`;
      throw new LinuxError("ECANCELED", this.#attempted, `the old process goes on serving: ${reason}`);
    } finally {
      this.#connection.close();
    }
  }

  /** Tells the old process to go on. @param reason For its log. */
  async refuse(reason: string): Promise<void> {
    await this.#connection.send({ type: "refused", reason }, [], limitOf(ANSWER_MS, undefined)).catch(() => undefined);
    this.#connection.close();
  }
}
