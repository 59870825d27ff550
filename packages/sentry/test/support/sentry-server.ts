import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";

/** What is read of an event; all of it is in `raw`. */
export interface SentryEvent {
  readonly event_id: string;
  readonly level: string;
  readonly platform: string;
  readonly environment: string;
  readonly release?: string;
  readonly server_name?: string;
  readonly message?: string;
  readonly exception?: {
    readonly values: readonly {
      readonly type: string;
      readonly value: string;
      readonly mechanism?: { readonly type: string; readonly handled: boolean };
      readonly stacktrace?: {
        readonly frames: readonly {
          readonly filename?: string;
          readonly function?: string;
          readonly context_line?: string;
        }[];
      };
    }[];
  };
  readonly request?: {
    readonly method?: string;
    readonly url?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly query_string?: string;
  };
  readonly tags?: Readonly<Record<string, string>>;
  readonly contexts?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly extra?: Readonly<Record<string, unknown>>;
  readonly fingerprint?: readonly string[];
}

/** One item of an envelope. */
interface EnvelopeItem {
  readonly type: string;
  readonly payload: unknown;
}

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly items: readonly EnvelopeItem[];
}

/** Takes envelopes as Sentry does: `POST /api/PROJECT/envelope/`, a line of JSON, then for each item a line of JSON and its payload. */
export class SentryServer implements AsyncDisposable {
  readonly envelopes: Received[] = [];
  /** Whatever was sent, as text. */
  raw = "";
  /** How it answers. */
  answer: (response: ServerResponse) => void = (response) => void response.end('{"id":"0"}');
  readonly #server: Server;
  #wake: (() => void)[] = [];

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => void this.#receive(request, response));
  }

  static async start(): Promise<SentryServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new SentryServer(server);
  }

  get dsn(): string {
    return `http://publickey@127.0.0.1:${(this.#server.address() as AddressInfo).port}/42`;
  }

  /** All events so far, in order. */
  get events(): SentryEvent[] {
    return this.envelopes.flatMap(({ items }) =>
      items.filter(({ type }) => type === "event").map(({ payload }) => payload as SentryEvent),
    );
  }

  /** The `count`-th event, from 1, once it has come. */
  async event(count = 1): Promise<SentryEvent> {
    while (this.events.length < count) await new Promise<void>((resolve) => this.#wake.push(resolve));
    return this.events[count - 1]!;
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = await buffer(request);
    const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
    this.raw += `${request.rawHeaders.join("\n")}\n${body.toString()}\n`;
    this.envelopes.push({ method: request.method!, path: request.url!, ...parseEnvelope(body) });
    this.answer(response);
    for (const wake of this.#wake.splice(0)) wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

function parseEnvelope(body: Buffer): Pick<Received, "header" | "items"> {
  let at = 0;
  const line = (): string => {
    const end = body.indexOf(10, at);
    const text = body.toString("utf8", at, end < 0 ? body.length : end);
    at = end < 0 ? body.length : end + 1;
    return text;
  };
  const header = JSON.parse(line()) as Record<string, unknown>;
  const items: EnvelopeItem[] = [];
  while (at < body.length) {
    const { type, length } = JSON.parse(line()) as { type: string; length?: number };
    let payload: string;
    if (length === undefined) payload = line();
    else {
      payload = body.toString("utf8", at, at + length);
      at += length + 1;
    }
    items.push({ type, payload: JSON.parse(payload) });
  }
  return { header, items };
}
