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
   * Rejects when nobody has sent anything within the time, or what came cannot be used.
   */
  receive(sockPath: string, options: ReceiveFdsOptions): Promise<ReceivedFds>;
  /**
   * The old process: connects, trying again until `connectMs` is over, and sends its listening descriptors. Resolves when the
   * new process has said {@link ReceivedFds.serving}; then this one may stop accepting. Rejects when nobody listens at the
   * path, when the new process ends or says that it failed, and after `servingMs`; then this one goes on as if nothing had
   * been asked. The descriptors stay open in either case.
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
}

export interface SendFdsOptions {
  /** How long to try to connect. */
  readonly connectMs: number;
  /** How long the new process may take from then on until it serves. */
  readonly servingMs: number;
}

/** What came, and the way to answer. */
export interface ReceivedFds {
  /** Descriptors of this process, non-blocking and listening, by key; whoever takes one closes it. */
  readonly fds: ReadonlyMap<string, number>;
  /** Tells the old process that this one accepts on all that it wants; resolves when that is sent. */
  serving(): Promise<void>;
  /** Tells the old process to go on, since this one cannot. Harmless afterwards. */
  failed(reason: string): void;
}
