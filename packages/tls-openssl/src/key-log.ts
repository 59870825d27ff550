import { createWriteStream, type WriteStream } from "node:fs";
import type { TLSSocket } from "node:tls";
import { logger } from "@sluice/core";

const log = logger("tls-openssl");

/** A file of secrets in the format of NSS, which Wireshark reads. One for each path, whoever writes. */
export class KeyLog {
  static readonly #open = new Map<string, KeyLog>();
  readonly #file: WriteStream;

  private constructor(path: string) {
    this.#file = createWriteStream(path, { flags: "a", mode: 0o600 });
    this.#file.on("error", (err) => log.error({ err, file: path }, "cannot write the secrets of TLS connections"));
    log.warn(
      { file: path },
      "the secrets of all TLS connections are written to a file: whoever reads it reads the traffic",
    );
  }

  static to(path: string): KeyLog {
    let keyLog = KeyLog.#open.get(path);
    if (keyLog === undefined) KeyLog.#open.set(path, (keyLog = new KeyLog(path)));
    return keyLog;
  }

  /** Before its handshake begins. */
  follow(socket: TLSSocket): void {
    socket.on("keylog", (line) => this.write(line));
  }

  /** A line of it, with its end. */
  write(line: string | Uint8Array): void {
    if (!this.#file.destroyed) this.#file.write(line);
  }
}
