import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";

/** What a client of HTTP/2 got on a stream. */
export interface Http2Got {
  readonly status: number;
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** The statuses of interim heads. */
  readonly interim: readonly number[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [name: string, value: string])[] | undefined;
  /** The code of the stream's end: 0 for a good one. */
  readonly code: number;
}

/** A client of HTTP/2 without TLS, by node:http2. */
export class Http2Client implements AsyncDisposable {
  readonly session: ClientHttp2Session;
  readonly #closed: Promise<void>;

  private constructor(address: string, settings: object) {
    this.session = connect(`http://${address}`, { settings });
    this.session.on("error", () => undefined);
    this.#closed = new Promise((resolve) => this.session.once("close", resolve));
  }

  /** Resolves when the server's settings are there. */
  static async connect({ address }: { address: string }, settings: object = {}): Promise<Http2Client> {
    const client = new Http2Client(address, settings);
    await new Promise((resolve) => client.session.once("remoteSettings", resolve));
    return client;
  }

  /** Opens a stream. @param fields Those of `GET http://test/` in their place, and more. */
  open(fields: Record<string, string | string[]> = {}, endStream = false): ClientHttp2Stream {
    const { ":method": method = "GET", ":path": path = "/", ":authority": authority = "test", ...rest } = fields;
    const list: string[] = [":method", method as string];
    if (method !== "CONNECT" || fields[":protocol"] !== undefined)
      list.push(":scheme", "http", ":path", path as string);
    list.push(":authority", authority as string);
    for (const [name, value] of Object.entries(rest)) {
      for (const one of [value].flat()) list.push(name, one);
    }
    const stream = this.session.request(list, { endStream });
    stream.on("error", () => undefined);
    return stream;
  }

  /** Sends a request and collects what comes. */
  async request(fields: Record<string, string | string[]> = {}, body?: string | Uint8Array): Promise<Http2Got> {
    const stream = this.open(fields, body === undefined);
    const got = collect(stream);
    if (body !== undefined) stream.end(body);
    return await got;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.session.destroy();
    await this.#closed;
  }
}

/** What comes on a stream, when it is over. */
export function collect(stream: ClientHttp2Stream): Promise<Http2Got> {
  const interim: number[] = [];
  const chunks: Buffer[] = [];
  let status = 0;
  let fields: Http2Got["fields"] = [];
  let trailers: Http2Got["trailers"];
  stream.on("headers", (headers) => interim.push(Number(headers[":status"])));
  stream.on("response", (headers, _flags, raw?: string[]) => {
    status = Number(headers[":status"]);
    fields = pairsOf(raw ?? []).filter(([name]) => name !== ":status");
  });
  stream.on("trailers", (_headers, _flags, raw?: string[]) => (trailers = pairsOf(raw ?? [])));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => {
    stream.once("close", () =>
      resolve({ status, fields, interim, body: Buffer.concat(chunks), trailers, code: stream.rstCode }),
    );
  });
}

function pairsOf(raw: readonly string[]): [name: string, value: string][] {
  return Array.from({ length: raw.length / 2 }, (_, at) => [raw[at * 2]!, raw[at * 2 + 1]!]);
}
