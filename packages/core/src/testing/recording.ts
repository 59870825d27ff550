import type { ByteStream } from "../net/byte-stream.ts";

/** What a stream told, from the moment it was recorded. */
export interface Recording {
  /** The bytes so far, one character each. */
  readonly text: string;
  /** The pieces as they came. */
  readonly pieces: readonly string[];
  /** The names of the events in order, `data` only once in a row. */
  readonly events: readonly string[];
  readonly ended: boolean;
  readonly closed: boolean;
  readonly error: (Error & { code?: string }) | undefined;
  /** Forgets the bytes so far and returns them. */
  take(): string;
}

/** Listens to all that `stream` says. Reading starts, as with any `data` listener. */
export function record(stream: ByteStream): Recording {
  return new StreamRecording(stream);
}

class StreamRecording implements Recording {
  pieces: string[] = [];
  readonly events: string[] = [];
  error: (Error & { code?: string }) | undefined = undefined;

  constructor(stream: ByteStream) {
    stream.on("data", (chunk) => {
      this.pieces.push(chunk.toString("latin1"));
      if (this.events.at(-1) !== "data") this.events.push("data");
    });
    stream.on("error", (error) => {
      this.error = error;
      this.events.push("error");
    });
    for (const event of ["end", "drain", "close"] as const) stream.on(event, () => this.events.push(event));
  }

  get text(): string {
    return this.pieces.join("");
  }

  get ended(): boolean {
    return this.events.includes("end");
  }

  get closed(): boolean {
    return this.events.includes("close");
  }

  take(): string {
    const text = this.text;
    this.pieces = [];
    return text;
  }
}
