import { closeSync } from "node:fs";
import { MAX_DESCRIPTORS_IN_MESSAGE } from "../ffi/abi.ts";
import { closeAll, receiveMessage, sendMessage } from "../ffi/message.ts";
import { errnoName, LinuxError } from "../linux-error.ts";
import { decodeFrame, encodeFrame, MAX_FRAME_BYTES, type HandoverFrame } from "./handover-frame.ts";
import { waitUntil, type Limit } from "./wait-until.ts";

/** What says "not now": the buffer is full or empty, or more descriptors are under way than the user may have. */
const NOT_NOW: ReadonlySet<string> = new Set(["EAGAIN", "EWOULDBLOCK", "ENOBUFS", "ETOOMANYREFS"]);

const READ_BYTES = 64 * 1024;
const LINE_END = 0x0a;

/** A connection of a hand-over: frames in both directions, with descriptors. Nothing here blocks. */
export class HandoverConnection {
  readonly #fd: number;
  readonly #attempted: string;
  #open = true;
  #unread: Buffer = Buffer.alloc(0);
  /** Came, and nobody has taken them yet. */
  #descriptors: number[] = [];

  /** @param fd Connected; closed by {@link close}. @param attempted For errors. */
  constructor(fd: number, attempted: string) {
    this.#fd = fd;
    this.#attempted = attempted;
  }

  /** @param descriptors At most {@link MAX_DESCRIPTORS_IN_MESSAGE}. @throws LinuxError */
  async send(frame: HandoverFrame, descriptors: readonly number[], limit: Limit): Promise<void> {
    let rest = encodeFrame(frame);
    let attached = descriptors;
    while (rest.length > 0) {
      const sent = await waitUntil(
        () => this.#trySend(rest, attached),
        limit,
        this.#attempted,
        "the other process to read",
      );
      rest = rest.subarray(sent);
      attached = [];
    }
  }

  #trySend(bytes: Buffer, descriptors: readonly number[]): number | undefined {
    this.#checkOpen();
    const sent = sendMessage(this.#fd, bytes, descriptors);
    if (sent >= 0) return sent;
    return this.#notNow(-sent, "sendmsg");
  }

  /**
   * The next frame. Its descriptors are to be taken with {@link takeDescriptors}.
   * @param what What is waited for, for the error.
   * @throws LinuxError `ECONNRESET` when the peer has closed instead, `EPROTO` for what is no frame, `EMFILE` when descriptors
   *   were lost because this process has no room for more.
   */
  async receive(limit: Limit, what: string): Promise<HandoverFrame> {
    const line = await waitUntil(() => this.#tryReceive(what), limit, this.#attempted, what);
    return decodeFrame(line, this.#attempted);
  }

  #tryReceive(what: string): Buffer | undefined {
    for (;;) {
      const line = this.#takeLine();
      if (line !== undefined) return line;
      this.#checkOpen();
      const message = receiveMessage(this.#fd, READ_BYTES);
      if (typeof message === "number") return this.#notNow(-message, "recvmsg");
      this.#descriptors.push(...message.descriptors);
      if (message.truncated) {
        throw this.#error(
          "EMFILE",
          "descriptors were lost: this process may not have so many open (see RLIMIT_NOFILE)",
        );
      }
      if (message.bytes.length === 0) throw this.#error("ECONNRESET", `the other process went away before ${what}`);
      this.#unread = Buffer.concat([this.#unread, message.bytes]);
      if (this.#unread.length > MAX_FRAME_BYTES) throw this.#error("EPROTO", "the other process sends without end");
    }
  }

  #takeLine(): Buffer | undefined {
    const end = this.#unread.indexOf(LINE_END);
    if (end < 0) return undefined;
    const line = this.#unread.subarray(0, end);
    this.#unread = this.#unread.subarray(end + 1);
    return line;
  }

  /** The descriptors that came first; the caller owns them now. @throws LinuxError `EPROTO` when fewer came. */
  takeDescriptors(count: number): number[] {
    if (this.#descriptors.length < count) {
      throw this.#error(
        "EPROTO",
        `the other process sent ${this.#descriptors.length} descriptors for ${count} addresses`,
      );
    }
    return this.#descriptors.splice(0, count);
  }

  /** Closes what nobody has taken, too. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeAll(this.#descriptors.splice(0));
    closeSync(this.#fd);
  }

  /** `undefined` when it is only to be tried again. */
  #notNow(errno: number, syscall: string): undefined {
    if (NOT_NOW.has(errnoName(errno))) return undefined;
    throw LinuxError.fromErrno(errno, syscall, this.#attempted);
  }

  #checkOpen(): void {
    if (!this.#open) throw this.#error("EBADF", "the connection was closed");
  }

  #error(code: string, why: string): LinuxError {
    return new LinuxError(code, this.#attempted, why);
  }
}

/** In parts that fit into a message. */
export function messagesOf<T>(items: readonly T[]): T[][] {
  const parts: T[][] = [];
  for (let at = 0; at < items.length; at += MAX_DESCRIPTORS_IN_MESSAGE) {
    parts.push(items.slice(at, at + MAX_DESCRIPTORS_IN_MESSAGE));
  }
  return parts;
}
