import { eventChannel, type EventChannel } from "../diagnostics.ts";

/** A server was told by SIGQUIT to hand over, and has; or it goes on. */
export interface HandoverMessage {
  readonly outcome: "handed-over" | "failed";
  /** Why not. */
  readonly error: unknown;
}

/** How hand-overs of the server of this process end, for the one that gives. The one that takes cannot start when it fails. */
export const handoverChannel: EventChannel<HandoverMessage> = eventChannel("sluice:server:handover");

/**
 * What moves listening sockets from one server to the next, so that an upgrade refuses nobody. Needs what Node does not
 * offer; `@sluice/linux` implements it. Handed to the server: `new Server(conf, { handover })`.
 *
 * The new process listens on a Unix socket and the old one connects to it, as in Pingora. A socket goes by the address as
 * the configuration spells it (`127.0.0.1:80`, `unix:/run/app.sock`); a second one for the same text has `#2` behind it.
 */
export interface FdHandover {
  /**
   * The new process: waits for the old one and takes what it listens on.
   * Rejects when nobody has sent anything within the time, or what came cannot be used, and when the signal aborts.
   */
  receive(sockPath: string, options: ReceiveFdsOptions): Promise<ReceivedFds>;
  /**
   * The old process: connects, trying again until `connectMs` is over, and sends its listening descriptors. Resolves when the
   * new process has said {@link ReceivedFds.serving}; then this one may stop accepting. Rejects when nobody listens at the
   * path, when the new process ends or says that it failed, and after `servingMs`; then this one goes on as if nothing had
   * been asked. The descriptors stay open in either case. Rejects, too, when the signal aborts, since this server is told to end.
   */
  send(sockPath: string, fds: ReadonlyMap<string, number>, options: SendFdsOptions): Promise<void>;
}

export interface ReceiveFdsOptions {
  /** How long to wait for the old process. */
  readonly timeoutMs: number;
  /** Called once the path can be connected to: from now on the old process may be told to send. */
  readonly onListening?: () => void;
  /** Who may connect besides root and this user, because the old process runs as somebody else. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** The server is told to end, so nobody needs to be waited for. */
  readonly signal?: AbortSignal;
}

export interface SendFdsOptions {
  /** How long to try to connect. */
  readonly connectMs: number;
  /** How long the new process may take from then on until it serves. */
  readonly servingMs: number;
  /** Keys of Unix sockets whose files belong to neither of the two, but to a service manager. */
  readonly borrowed: readonly string[];
  /** The server is told to end: what it listens on will soon be closed, and must not be sent any more. */
  readonly signal?: AbortSignal;
}

/** What came, and the way to answer. */
export interface ReceivedFds {
  /** Descriptors of this process, non-blocking and listening, by key; whoever takes one closes it. */
  readonly fds: ReadonlyMap<string, number>;
  /** As {@link SendFdsOptions.borrowed} of the old process. Default: none. */
  readonly borrowed?: readonly string[];
  /** Tells the old process that this one accepts on all that it wants; resolves when that is sent. */
  serving(): Promise<void>;
  /** Tells the old process to go on, since this one cannot. Harmless afterwards. */
  failed(reason: string): void;
}
