/**
 * A connection as the protocol code sees it: what `net.Socket`, `tls.TLSSocket` and an in-memory pair all satisfy.
 *
 * It is a slice of Node's `stream.Duplex`. Events: `data` (Buffer), `end` (the peer ends its direction), `drain`, `error`,
 * `close` (nothing more will happen; always last). Sockets must be half-open (`allowHalfOpen`): the session decides when
 * to end its own direction.
 */
export interface ByteStream {
  /** Takes the bytes; `false` asks to wait for `drain`. A string needs its encoding, here always `latin1`. `taken`: the system has them. */
  write(chunk: Uint8Array, taken?: (error?: Error | null) => void): boolean;
  write(chunk: string, encoding: "latin1"): boolean;
  /** Ends our direction after what was written. */
  end(): unknown;
  /** Closes both directions at once; what was not yet sent is lost. */
  destroy(error?: Error): unknown;
  /** Holds writes back until `uncork`, so that they leave together. */
  cork(): void;
  uncork(): void;
  /** Stops `data` events; the peer is slowed down by its window. */
  pause(): unknown;
  resume(): unknown;
  on(event: "data", listener: (chunk: Buffer) => void): unknown;
  on(event: "end" | "drain" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  readonly destroyed: boolean;
  /** What broke the stream; set as soon as it is known, before the `error` event. */
  readonly errored?: Error | null;
  /**
   * TLS only: the peer's direction ended by the end of the connection, without the peer saying so (close_notify). Anybody in between
   * can do that, so what ends with the connection must not be taken for whole (RFC 9112, section 9.8). Known when `end` comes.
   */
  readonly truncated?: boolean | undefined;
  /** Bytes taken by `write` and not yet handed to the system. */
  readonly writableLength: number;
  /** Of those, the bytes that are still read from the memory they were given in. Default: all. */
  readonly lentLength?: number | undefined;
  /** Bytes that came and went so far, for those who ask when it is closed; `undefined` for streams that do not count. */
  readonly bytesRead?: number | undefined;
  readonly bytesWritten?: number | undefined;
  /** Sockets only: whether an open but idle connection keeps the process alive. */
  ref?(): unknown;
  unref?(): unknown;
  /** Sockets only; `undefined` for streams without addresses. */
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
}
