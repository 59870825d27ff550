import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import { CONTINUATION, END_HEADERS, END_STREAM, FRAME_HEAD_BYTES, HEADERS } from "../frames/frame-types.ts";
import { putFrameHead, type FrameOutput } from "../frames/frame-output.ts";
import { HpackEncoder } from "../hpack/encoder.ts";

/** What an output can take at once. */
const MAX_PART_BYTES = 16_384;

/**
 * Writes the field block of one head at a time, compressed, straight to where it leaves from; one that is larger than what is
 * there goes by way of memory of its own, and one that is larger than a frame goes on in CONTINUATION (RFC 9113, section 6.10).
 */
export class HeadWriter {
  readonly #output: FrameOutput;
  readonly #encoder = new HpackEncoder();
  /** What is written to, from `#start` to `#at`. */
  #target: Buffer | undefined = undefined;
  #start = 0;
  #at = 0;

  constructor(output: FrameOutput) {
    this.#output = output;
  }

  /** SETTINGS_HEADER_TABLE_SIZE of the peer. */
  setPeerTableBytes(bytes: number): void {
    this.#encoder.setPeerTableBytes(bytes);
  }

  /** Begins a head. Until {@link end} nothing else may be framed. */
  begin(): void {
    this.#target = this.#output.reserveForHead();
    this.#start = this.#output.end + FRAME_HEAD_BYTES;
    this.#at = this.#encoder.begin(this.#target, this.#start);
  }

  /**
   * @param name In lower case.
   * @param neverIndex Keep it out of all tables, here and behind the peer (RFC 7541, section 7.1.3).
   */
  field(name: string, value: string, neverIndex?: boolean): void {
    if (this.#at + HpackEncoder.maxBytes(name, value) > this.#target!.length) {
      this.#grow(HpackEncoder.maxBytes(name, value));
    }
    this.#at = this.#encoder.field(this.#target!, this.#at, name, value, neverIndex);
  }

  /** The head that was begun is not sent: not all of it can be written. */
  abandon(): void {
    this.#target = undefined;
    this.#encoder.abandon();
  }

  /** The head is complete. Gives where its flags stand, as {@link FrameOutput.data} does; -1 for one in several frames. */
  end(streamId: number, endStream: boolean, maxFrameBytes: number): number {
    const output = this.#output;
    const target = this.#target!;
    const bytes = this.#at - this.#start;
    const flags = endStream ? END_STREAM : 0;
    this.#target = undefined;
    if (this.#start > 0 && bytes <= maxFrameBytes) {
      putFrameHead(target, this.#start - FRAME_HEAD_BYTES, bytes, HEADERS, flags | END_HEADERS, streamId);
      output.end = this.#at;
      return this.#start - 5;
    }
    return this.#endLarge(Buffer.from(target.subarray(this.#start, this.#at)), flags, streamId, maxFrameBytes);
  }

  #endLarge(block: Buffer, flags: number, streamId: number, maxFrameBytes: number): number {
    const most = Math.min(maxFrameBytes, MAX_PART_BYTES);
    let type = HEADERS;
    let from = 0;
    do {
      const end = Math.min(from + most, block.length);
      const last = end === block.length ? END_HEADERS : 0;
      this.#output.frame(type, (type === HEADERS ? flags : 0) | last, streamId, block.subarray(from, end));
      type = CONTINUATION;
      from = end;
    } while (from < block.length);
    return -1;
  }

  /** Goes on in memory of its own, which begins at 0. */
  #grow(bytes: number): void {
    const used = this.#at - this.#start;
    const larger = Buffer.allocUnsafeSlow((used + bytes) * 2);
    this.#target!.copy(larger, 0, this.#start, this.#at);
    this.#target = larger;
    this.#start = 0;
    this.#at = used;
  }
}
