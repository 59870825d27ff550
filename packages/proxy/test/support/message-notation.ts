export type Field = readonly [name: string, value: string];

/** What a {@link NotationReader} found. */
export interface MessageSink {
  onInterim(status: number, fields: Field[]): void;
  /** @param bodiless Nothing but the end follows. */
  onHead(startLine: string, fields: Field[], bodiless: boolean): void;
  onData(piece: Buffer): void;
  onEnd(trailers: Field[]): void;
}

type State = "head" | "length" | "chunk-size" | "chunk" | "trailers" | "until-end";

/** Reads messages as HTTP/1.1 writes them, so that a test may write them so and have them sent by another version. */
export class NotationReader {
  /** The response that comes next is one to HEAD. */
  toHead = false;
  readonly #sink: MessageSink;
  #state: State = "head";
  #bytes: Buffer = Buffer.alloc(0);
  /** Bytes that the body, or the chunk with its line's end, still has. */
  #missing = 0;

  constructor(sink: MessageSink) {
    this.#sink = sink;
  }

  push(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    while (this.#step());
  }

  /** The sender ended its direction. Gives whether nothing is missing. */
  finish(): boolean {
    if (this.#state === "until-end") this.#over([]);
    return this.#state === "head" && this.#bytes.length === 0;
  }

  /** Whether there was anything to do. */
  #step(): boolean {
    switch (this.#state) {
      case "head":
        return this.#upTo("\r\n\r\n", (text) => this.#head(text));
      case "trailers":
        if (this.#bytes.subarray(0, 2).equals(Buffer.from("\r\n"))) return this.#upTo("\r\n", () => this.#over([]));
        return this.#upTo("\r\n\r\n", (text) => this.#over(text.split("\r\n").map(fieldOf)));
      case "chunk-size":
        return this.#upTo("\r\n", (line) => this.#chunk(line));
      case "until-end":
        return this.#piece(this.#bytes.length);
      case "length":
        if (!this.#piece(Math.min(this.#missing, this.#bytes.length))) return false;
        if (this.#missing === 0) this.#over([]);
        return true;
      case "chunk":
        if (this.#missing > 2) return this.#piece(Math.min(this.#missing - 2, this.#bytes.length));
        return this.#upTo("\r\n", () => (this.#state = "chunk-size"));
    }
  }

  #upTo(mark: string, found: (text: string) => unknown): boolean {
    const at = this.#bytes.indexOf(mark);
    if (at < 0) return false;
    const text = this.#bytes.toString("latin1", 0, at);
    this.#bytes = this.#bytes.subarray(at + mark.length);
    found(text);
    return true;
  }

  #head(text: string): void {
    const [startLine = "", ...lines] = text.split("\r\n");
    const fields = lines.map(fieldOf);
    const status = /^HTTP\/1\.1 (\d{3})\b/.exec(startLine)?.[1];
    if (status === undefined && !/^[A-Z]+ \S+ HTTP\/1\.1$/.test(startLine)) throw new NotationError(startLine);
    if (status?.startsWith("1") === true) {
      this.#sink.onInterim(Number(status), fields);
      return;
    }
    const toHead = this.toHead || status === "204" || status === "304";
    this.toHead = false;
    // Behind a request to connect is the tunnel.
    if (startLine.startsWith("CONNECT ")) this.#state = "until-end";
    else this.#begin(status === undefined, toHead, fields);
    const bodiless = this.#state === "head";
    this.#sink.onHead(startLine, fields, bodiless);
    if (bodiless) this.#sink.onEnd([]);
  }

  #begin(isRequest: boolean, toHead: boolean, fields: Field[]): void {
    const length = valueOf(fields, "content-length");
    if (toHead) return;
    if (valueOf(fields, "transfer-encoding") !== undefined) this.#state = "chunk-size";
    else if (length === undefined) this.#state = isRequest ? "head" : "until-end";
    else if (length !== "0") this.#state = "length";
    this.#missing = Number(length);
  }

  #chunk(line: string): void {
    if (!/^[0-9a-f]+$/i.test(line)) throw new NotationError(line);
    const size = Number.parseInt(line, 16);
    this.#missing = size + 2;
    this.#state = size === 0 ? "trailers" : "chunk";
  }

  #piece(size: number): boolean {
    if (size === 0) return false;
    const piece = this.#bytes.subarray(0, size);
    this.#bytes = this.#bytes.subarray(size);
    this.#missing -= size;
    this.#sink.onData(piece);
    return true;
  }

  #over(trailers: Field[]): void {
    this.#state = "head";
    this.#sink.onEnd(trailers);
  }
}

/** The test sends what only HTTP/1 can say. */
export class NotationError extends Error {
  constructor(text: string) {
    super(`no message that every version of HTTP can carry: ${JSON.stringify(text)}`);
  }
}

function fieldOf(line: string): Field {
  const colon = line.indexOf(":");
  if (colon < 1) throw new NotationError(line);
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}

export function valueOf(fields: readonly Field[], name: string): string | undefined {
  return fields.find(([own]) => own.toLowerCase() === name)?.[1];
}

/** Shows what came by HTTP/2 as HTTP/1.1 writes it: names, which have no capitals there, with those that are usual. */
export class NotationWriter {
  readonly #show: (bytes: string | Buffer) => void;
  #chunked = false;

  constructor(show: (bytes: string | Buffer) => void) {
    this.#show = show;
  }

  interim(startLine: string, fields: readonly Field[]): void {
    this.#show(headText(startLine, fields));
  }

  /** @param hasBody It is framed by chunks, if the fields tell no length. */
  head(startLine: string, fields: readonly Field[], hasBody: boolean): void {
    this.#chunked = hasBody && valueOf(fields, "content-length") === undefined;
    this.#show(headText(startLine, this.#chunked ? [...fields, ["transfer-encoding", "chunked"]] : fields));
  }

  data(piece: Buffer): void {
    if (!this.#chunked) this.#show(piece);
    else if (piece.length > 0) {
      this.#show(`${piece.length.toString(16)}\r\n`);
      this.#show(piece);
      this.#show("\r\n");
    }
  }

  end(trailers: readonly Field[]): void {
    if (this.#chunked) this.#show(headText("0", trailers));
  }
}

function headText(startLine: string, fields: readonly Field[]): string {
  return `${startLine}\r\n${fields.map(([name, value]) => `${withCapitals(name)}: ${value}\r\n`).join("")}\r\n`;
}

/** As names are usually spelt. */
export function withCapitals(name: string): string {
  return name.replaceAll(/(?<![a-zA-Z0-9])[a-z]/g, (letter) => letter.toUpperCase());
}
