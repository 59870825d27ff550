import { STATUS_CODES } from "node:http";
import { constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { fieldsObject, fieldsOf, flatFields, Http2End, type Http2Base } from "./http2-wire.ts";
import { NotationReader, NotationWriter, valueOf, type Field, type MessageSink } from "./message-notation.ts";

/** A client's end: every request that is written to it is a stream, and the answers are shown in the order of the requests. */
export class Http2ClientEnd extends Http2End implements MessageSink {
  readonly #reader = new NotationReader(this);
  readonly #scheme: string;
  /** Those whose answer was not shown whole. */
  readonly #exchanges: Exchange[] = [];
  /** Where the body goes that is being written. */
  #upload: Exchange | undefined = undefined;

  constructor(base: Http2Base, scheme: string) {
    super(base);
    this.#scheme = scheme;
  }

  /** The last answer was cut by RST_STREAM. */
  get cut(): boolean {
    return this.#exchanges[0]?.state === "cut";
  }

  /** Gives up the request whose answer is awaited, by RST_STREAM; the connection stays. */
  cancel(): void {
    this.current?.close(constants.NGHTTP2_CANCEL);
  }

  onInterim(): void {
    throw new Error("a client sends no interim heads");
  }

  onHead(startLine: string, fields: Field[], bodiless: boolean): void {
    const [method = "", target = ""] = startLine.split(" ");
    const path = method === "CONNECT" ? [] : [":scheme", this.#scheme, ":path", target];
    const list = [":method", method, ...path, ":authority", valueOf(fields, "host") ?? "", ...flatFields(fields)];
    const session = this.base.session as ClientHttp2Session;
    const stream = session.request(list, { endStream: bodiless, waitForTrailers: true });
    const exchange = new Exchange(stream, method);
    exchange.onShown = () => this.#drain();
    this.#exchanges.push(exchange);
    this.#upload = exchange;
    this.#drain();
  }

  onData(piece: Buffer): void {
    if (this.#upload !== undefined) this.pass(this.#upload.stream, piece);
  }

  onEnd(trailers: Field[]): void {
    const stream = this.#upload?.stream;
    this.#upload = undefined;
    if (stream === undefined || stream.closed || stream.destroyed) return;
    stream.once("wantTrailers", () => stream.sendTrailers(fieldsObject(trailers)));
    stream.end();
  }

  protected override get detached(): boolean {
    return false;
  }

  protected override get current(): ClientHttp2Stream | undefined {
    return this.#exchanges[0]?.stream;
  }

  protected override told(bytes: Buffer): void {
    this.#reader.push(bytes);
  }

  protected override finish(): boolean {
    // The end of a tunnel is that of its stream.
    return this.#upload?.tunnels !== true || !this.#reader.finish();
  }

  /** Shows what came on the oldest stream, and on the next ones when it is over. */
  #drain(): void {
    for (;;) {
      const exchange = this.#exchanges[0];
      if (exchange === undefined) return;
      for (const bytes of exchange.shown.splice(0)) this.show(bytes);
      if (exchange.state === "going-on") return;
      if (exchange.state === "cut" || exchange.tunnels) {
        this.over();
        return;
      }
      this.#exchanges.shift();
    }
  }
}

/** A request, and what came for it. */
class Exchange {
  readonly stream: ClientHttp2Stream;
  readonly shown: (string | Buffer)[] = [];
  state: "going-on" | "whole" | "cut" = "going-on";
  tunnels = false;
  onShown: () => void = () => undefined;
  #trailers: Field[] = [];

  constructor(stream: ClientHttp2Stream, method: string) {
    this.stream = stream;
    const writer = new NotationWriter((bytes) => this.shown.push(bytes));
    const told = (): void => this.onShown();
    stream.on("error", () => undefined);
    stream.on("headers", (headers, _flags, raw?: string[]) => {
      writer.interim(statusLine(Number(headers[":status"])), fieldsOf(raw ?? []));
      told();
    });
    stream.on("response", (headers, _flags, raw?: string[]) => {
      const status = Number(headers[":status"]);
      this.tunnels = method === "CONNECT" && status < 300;
      writer.head(statusLine(status), fieldsOf(raw ?? []), !this.tunnels && hasBody(method, status));
      told();
    });
    stream.on("trailers", (_headers, _flags, raw?: string[]) => (this.#trailers = fieldsOf(raw ?? [])));
    stream.on("data", (piece: Buffer) => {
      writer.data(piece);
      told();
    });
    stream.on("end", () => {
      // Node ends what was reset, too.
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) return;
      writer.end(this.#trailers);
      this.state = "whole";
      told();
    });
    stream.on("close", () => {
      if (this.state === "going-on") this.state = "cut";
      told();
    });
  }
}

function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`;
}

function hasBody(method: string, status: number): boolean {
  return method !== "HEAD" && status !== 204 && status !== 304;
}
