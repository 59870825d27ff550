import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { fieldsObject, fieldsOf, flatFields, Http2End, pseudo, type Http2Base } from "./http2-wire.ts";
import { NotationReader, NotationWriter, valueOf, type Field, type MessageSink } from "./message-notation.ts";

/**
 * An origin's end: requests are shown one behind the other. One that comes while another is under way is shown on another end of the same
 * connection, as it would come on another connection of HTTP/1.
 */
export class Http2OriginEnd extends Http2End implements MessageSink {
  readonly #reader = new NotationReader(this);
  #stream: ServerHttp2Stream | undefined = undefined;
  #requestEnded = false;
  #answered = true;
  #closes = false;

  /** Ready for the next request. */
  get idle(): boolean {
    return this.#stream === undefined && !this.ended && !this.destroyed && !this.writableEnded;
  }

  /** Shows the request of a stream. */
  accept(stream: ServerHttp2Stream, flags: number, raw: readonly string[]): void {
    this.#stream = stream;
    this.#requestEnded = false;
    this.#answered = false;
    const writer = new NotationWriter((bytes) => this.show(bytes));
    const method = pseudo(raw, ":method")!;
    this.#reader.toHead = method === "HEAD";
    let trailers: Field[] = [];
    stream.on("error", () => undefined);
    stream.on("trailers", (_headers, _flags, given?: string[]) => (trailers = fieldsOf(given ?? [])));
    stream.on("data", (piece: Buffer) => writer.data(piece));
    stream.on("end", () => {
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || stream.aborted) return;
      this.#requestEnded = true;
      writer.end(trailers);
    });
    stream.on("close", () => this.#closed(stream));
    const host: Field[] = [["host", pseudo(raw, ":authority") ?? ""]];
    const hasBody = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0;
    writer.head(`${method} ${pseudo(raw, ":path")} HTTP/1.1`, [...host, ...fieldsOf(raw)], hasBody);
  }

  onInterim(status: number, fields: Field[]): void {
    if (this.#open) this.#stream!.additionalHeaders({ ":status": status, ...fieldsObject(fields) });
  }

  onHead(startLine: string, fields: Field[], bodiless: boolean): void {
    this.#closes = valueOf(fields, "connection") === "close";
    if (!this.#open) return;
    const list = [":status", startLine.split(" ")[1]!, ...flatFields(fields)];
    this.#stream!.respond(list, { endStream: bodiless, waitForTrailers: !bodiless, sendDate: false } as never);
  }

  onData(piece: Buffer): void {
    if (this.#stream !== undefined) this.pass(this.#stream, piece);
  }

  onEnd(trailers: Field[]): void {
    const stream = this.#stream;
    this.#answered = true;
    if (stream === undefined || !this.#open) return;
    stream.once("wantTrailers", () => stream.sendTrailers(fieldsObject(trailers)));
    stream.end();
  }

  protected override get detached(): boolean {
    return this.ended;
  }

  protected override get current(): ServerHttp2Stream | undefined {
    return this.#stream;
  }

  protected override told(bytes: Buffer): void {
    this.#reader.push(bytes);
  }

  protected override finish(): boolean {
    if (!this.#reader.finish() || !this.#answered) return true;
    this.base.session.close();
    return false;
  }

  get #open(): boolean {
    return this.#stream !== undefined && !this.#stream.closed && !this.#stream.destroyed;
  }

  #closed(stream: ServerHttp2Stream): void {
    this.#stream = undefined;
    // The request was given up, or its answer.
    if (!this.#requestEnded || stream.rstCode !== constants.NGHTTP2_NO_ERROR) this.over();
    else if (this.#closes) this.base.session.close();
  }
}

/** Gives each stream of the connection to an end that is idle, or a new one. */
export function acceptStreams(base: Http2Base, onEnd: (end: Http2OriginEnd) => void): void {
  const ends: Http2OriginEnd[] = [];
  (base.session as ServerHttp2Session).on("stream", (stream, _headers, flags, raw?: string[]) => {
    let end = ends.find(({ idle }) => idle);
    if (end === undefined) {
      end = new Http2OriginEnd(base);
      ends.push(end);
      onEnd(end);
    }
    end.accept(stream, flags, raw ?? []);
  });
}
