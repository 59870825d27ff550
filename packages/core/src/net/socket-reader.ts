/** What one read may bring: as much as the kernel usually has ready. */
const BUFFER_BYTES = 65_536;

/**
 * Reads a socket into one buffer again and again, by Node's `onread` option, instead of into a new one each time. (With
 * 64 KB bodies the buffers of a socket's `data` events made the garbage collector the largest item: 72 µs of user time a
 * request, against 20 this way.) Whoever wants to keep what was read says so, and the next read gets another buffer.
 */
export class SocketReader {
  #buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #kept = false;
  #receiver: ((chunk: Buffer) => void) | undefined = undefined;
  #early = false;

  /** To be given to `net.connect`. */
  readonly onread: { buffer: () => Uint8Array; callback: (bytes: number) => boolean } = {
    buffer: () => this.#next(),
    callback: (bytes) => this.#onRead(bytes),
  };

  /** Chunks go to `receiver` from now on; each is valid during the call, unless it calls {@link keep}. */
  start(receiver: (chunk: Buffer) => void): void {
    this.#receiver = receiver;
  }

  /** Bytes came before {@link start}; they were dropped, since nobody had asked for them. */
  get spokeEarly(): boolean {
    return this.#early;
  }

  /** What is being received now stays as it is. */
  keep(): void {
    this.#kept = true;
  }

  #next(): Uint8Array {
    if (this.#kept) {
      this.#buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
      this.#kept = false;
    }
    return this.#buffer;
  }

  #onRead(bytes: number): boolean {
    if (this.#receiver === undefined) this.#early = true;
    else this.#receiver(this.#buffer.subarray(0, bytes));
    return true;
  }
}
