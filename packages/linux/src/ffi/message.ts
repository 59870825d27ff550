import { closeSync } from "node:fs";
import { endianness } from "node:os";
import {
  MAX_DESCRIPTORS_IN_MESSAGE,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SCM_RIGHTS,
  SOL_SOCKET,
} from "./abi.ts";
import { libc } from "./libc.ts";
import { tryCall } from "./system-call.ts";

const LITTLE = endianness() === "LE";

/** What one `recvmsg` gave. */
export interface ReceivedMessage {
  /** None: the peer has closed. */
  readonly bytes: Buffer;
  /** Ours from now on, close-on-exec. */
  readonly descriptors: number[];
  /** Descriptors were lost: this process has no room for more (`RLIMIT_NOFILE`), or they were more than we expect. */
  readonly truncated: boolean;
}

/**
 * Sends bytes, with descriptors attached to the first of them (`SCM_RIGHTS`). Does not wait.
 * @param descriptors At most {@link MAX_DESCRIPTORS_IN_MESSAGE}.
 * @returns How many bytes went, all descriptors with them; or the errno, negated, and nothing went.
 */
export function sendMessage(fd: number, bytes: Buffer, descriptors: readonly number[]): number {
  const header = (shared ??= new MessageHeader()).set(bytes, descriptors);
  return tryCall((library) => library.sendmsg(fd, header, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/** Receives what is there, without waiting. @returns the errno, negated, when there is nothing. */
export function receiveMessage(fd: number, maxBytes: number): ReceivedMessage | number {
  const bytes = Buffer.alloc(maxBytes);
  shared ??= new MessageHeader();
  const header = shared.set(bytes, NO_DESCRIPTORS);
  const length = tryCall((library) => library.recvmsg(fd, header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
  if (length < 0) return length;
  const { descriptors, truncated } = shared.received();
  return { bytes: bytes.subarray(0, length), descriptors, truncated };
}

const NO_DESCRIPTORS = Array.from<number>({ length: MAX_DESCRIPTORS_IN_MESSAGE }).fill(0);

/** A call is over before the next begins, so one serves all. */
let shared: MessageHeader | undefined;

/** Closes all, whatever becomes of one. */
export function closeAll(descriptors: Iterable<number>): void {
  for (const fd of descriptors) {
    try {
      closeSync(fd);
    } catch {
      // Closed already.
    }
  }
}

/**
 * `struct msghdr` with a `struct iovec` and a `struct cmsghdr`; the places of their fields follow from the size of a pointer.
 * They name memory by its address, which nobody else may see to be in use: so all of it is held here until the next call.
 */
class MessageHeader {
  readonly #word: 4 | 8 = libc().wordSize;
  readonly #header: Buffer = Buffer.alloc(this.#word * 7);
  readonly #vector: Buffer = Buffer.alloc(this.#word * 2);
  readonly #control: Buffer = Buffer.alloc(
    align(this.#word + CMSG_FIELDS + MAX_DESCRIPTORS_IN_MESSAGE * FD_SIZE, this.#word),
  );
  /** Never read; see the class. */
  bytes: Buffer | undefined = undefined;

  /** @param descriptors What is attached; for receiving, as many as there is to be room for. */
  set(bytes: Buffer, descriptors: readonly number[]): Buffer {
    this.bytes = bytes;
    const library = libc();
    const word = this.#word;
    writeWord(this.#vector, 0, library.addressOf(bytes), word);
    writeWord(this.#vector, word, BigInt(bytes.length), word);
    this.#header.fill(0);
    writeWord(this.#header, word * 2, library.addressOf(this.#vector), word);
    writeWord(this.#header, word * 3, 1n, word);
    if (descriptors.length > 0) {
      writeWord(this.#header, word * 4, library.addressOf(this.#control), word);
      writeWord(this.#header, word * 5, BigInt(this.#attach(descriptors)), word);
    }
    return this.#header;
  }

  /** Returns the length of the control data. */
  #attach(descriptors: readonly number[]): number {
    const fieldsAt = this.#word;
    const length = fieldsAt + CMSG_FIELDS + descriptors.length * FD_SIZE;
    const view = viewOf(this.#control.fill(0));
    writeWord(this.#control, 0, BigInt(length), this.#word);
    view.setInt32(fieldsAt, SOL_SOCKET, LITTLE);
    view.setInt32(fieldsAt + 4, SCM_RIGHTS, LITTLE);
    for (const [i, fd] of descriptors.entries()) view.setInt32(fieldsAt + CMSG_FIELDS + i * FD_SIZE, fd, LITTLE);
    return align(length, this.#word);
  }

  /** What the kernel wrote here. */
  received(): { descriptors: number[]; truncated: boolean } {
    const length = Number(readWord(this.#header, this.#word * 5, this.#word));
    const flags = viewOf(this.#header).getInt32(this.#word * 6, LITTLE);
    const descriptors = descriptorsIn(this.#control.subarray(0, length), this.#word);
    return { descriptors, truncated: (flags & MSG_CTRUNC) !== 0 };
  }
}

/** `cmsg_level` and `cmsg_type`. */
const CMSG_FIELDS = 8;
const FD_SIZE = 4;

/** All descriptors of all control messages. */
function descriptorsIn(control: Buffer, word: 4 | 8): number[] {
  const view = viewOf(control);
  const headerSize = word + CMSG_FIELDS;
  const descriptors: number[] = [];
  for (let at = 0; at + headerSize <= control.length;) {
    const length = Number(readWord(control, at, word));
    if (length < headerSize) break;
    const level = view.getInt32(at + word, LITTLE);
    const type = view.getInt32(at + word + 4, LITTLE);
    const end = level === SOL_SOCKET && type === SCM_RIGHTS ? Math.min(at + length, control.length) : 0;
    for (let i = at + headerSize; i + FD_SIZE <= end; i += FD_SIZE) descriptors.push(view.getInt32(i, LITTLE));
    at += align(length, word);
  }
  return descriptors;
}

function align(length: number, word: number): number {
  return Math.ceil(length / word) * word;
}

function viewOf({ buffer, byteOffset, byteLength }: Buffer): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function writeWord(target: Buffer, at: number, value: bigint, word: 4 | 8): void {
  if (word === 8) viewOf(target).setBigUint64(at, value, LITTLE);
  else viewOf(target).setUint32(at, Number(value), LITTLE);
}

function readWord(source: Buffer, at: number, word: 4 | 8): bigint {
  return word === 8 ? viewOf(source).getBigUint64(at, LITTLE) : BigInt(viewOf(source).getUint32(at, LITTLE));
}
