import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** A request to make. */
export interface Call {
  readonly method: "GET" | "POST";
  /** With `id=` in its query, by which everybody names it. */
  readonly target: string;
}

/** What became of one request. Times are `performance.now()` milliseconds of this process. */
export interface Outcome extends Call {
  readonly startedAt: number;
  readonly endedAt: number;
  /**
   * How long the connection may have been silent when the request was written, as the server sees it: what was heard may have waited
   * while this process did not run. Since the beginning of connecting for a new one.
   */
  readonly silentMs: number;
  /**
   * - `complete`: the response came whole
   * - `refused`: no connection could be had
   * - `unanswered`: the connection ended before a byte of the response
   * - `cut`: it ended in the middle of the response
   */
  readonly end: "complete" | "refused" | "unanswered" | "cut";
  /** Code of the socket's error, if there was one. */
  readonly code: string | undefined;
  /** NaN if there is none. */
  readonly status: number;
  /** Which origin answered, by its `X-Origin`. */
  readonly origin: string | undefined;
  /** The response said `Connection: close`. */
  readonly closes: boolean;
  readonly body: Buffer;
}

/** Between two looks at the clock. */
const TICK_MS = 50;

/** When this process ran for certain: all that had arrived by then had been read by the next look at the clock. */
let tickedAt = performance.now();
let ranAt = tickedAt;
setInterval(() => {
  ranAt = tickedAt;
  tickedAt = performance.now();
}, TICK_MS).unref();

/**
 * A client that keeps its connection as long as it may, and hides nothing: no request is made twice. It reads responses with
 * Content-Length only.
 */
export class KeepAliveClient {
  /** Its connections that were closed while no request was under way, by how: `closed` or an error's code. */
  readonly idleEnds: string[] = [];
  readonly #port: number;
  readonly #secure: boolean;
  #socket: Socket | undefined = undefined;
  /** When the connection was last heard of, or begun. */
  #heardAt = 0;
  #received: Buffer[] = [];
  #onBytes: (() => void) | undefined = undefined;
  #onClose: ((code: string | undefined) => void) | undefined = undefined;

  /** @param secure Over TLS, whatever the certificate. Default false. */
  constructor(port: number, secure: boolean = false) {
    this.#port = port;
    this.#secure = secure;
  }

  /** Connects if there is no connection. */
  async send(call: Call): Promise<Outcome> {
    const startedAt = performance.now();
    const refused = await this.#connect();
    let silentMs = performance.now() - this.#heardAt;
    if (refused !== undefined) return { ...toOutcome(call, startedAt, silentMs, [], refused), end: "refused" };
    const framing = call.method === "POST" ? "Content-Length: 4\r\n" : "";
    const body = call.method === "POST" ? "work" : "";
    this.#received = [];
    return new Promise((resolve) => {
      const finish = (code: string | undefined): void => {
        this.#onBytes = undefined;
        this.#onClose = undefined;
        const outcome = toOutcome(call, startedAt, silentMs, this.#received, code);
        if (outcome.closes || outcome.end !== "complete") this.close();
        resolve(outcome);
      };
      this.#onBytes = () => {
        if (isWhole(this.#received)) finish(undefined);
      };
      this.#onClose = finish;
      this.#socket!.write(`${call.method} ${call.target} HTTP/1.1\r\nHost: test\r\n${framing}\r\n${body}`);
      silentMs = performance.now() - this.#heardAt;
    });
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  /** Resolves with the error's code if there can be no connection. */
  async #connect(): Promise<string | undefined> {
    if (this.#socket !== undefined) return undefined;
    this.#heardAt = performance.now();
    const where = { port: this.#port, host: "127.0.0.1", noDelay: true };
    const socket = this.#secure ? connectTls({ ...where, rejectUnauthorized: false }) : connect(where);
    let code: string | undefined;
    socket.on("error", (error) => (code = (error as NodeJS.ErrnoException).code));
    socket.on("data", (chunk: Buffer) => {
      this.#received.push(chunk);
      this.#heardAt = ranAt;
      this.#onBytes?.();
    });
    socket.once("close", () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      if (this.#onClose === undefined) this.idleEnds.push(code ?? "closed");
      else this.#onClose(code);
    });
    await Promise.race([once(socket, this.#secure ? "secureConnect" : "connect"), once(socket, "close")]).catch(
      () => undefined,
    );
    if (code !== undefined) return code;
    this.#socket = socket;
    return undefined;
  }
}

function isWhole(received: readonly Buffer[]): boolean {
  const head = readHead(received);
  return head !== undefined && received.reduce((sum, { length }) => sum + length, 0) >= head.length + head.bodyLength;
}

function toOutcome(
  call: Call,
  startedAt: number,
  silentMs: number,
  received: readonly Buffer[],
  code: string | undefined,
): Outcome {
  const head = readHead(received);
  const end = isWhole(received) ? "complete" : received.length > 0 ? "cut" : "unanswered";
  return {
    ...call,
    startedAt,
    endedAt: performance.now(),
    silentMs,
    end,
    code,
    status: head?.status ?? Number.NaN,
    origin: head?.origin,
    closes: head?.closes ?? false,
    body: Buffer.concat(received).subarray(head?.length ?? 0),
  };
}

interface Head {
  readonly length: number;
  readonly bodyLength: number;
  readonly status: number;
  readonly origin: string | undefined;
  readonly closes: boolean;
}

function readHead(received: readonly Buffer[]): Head | undefined {
  // In these tests it fits into one packet; if ever it does not, the rest of the packets helps.
  let start = received[0]?.toString("latin1") ?? "";
  if (!start.includes("\r\n\r\n")) start = Buffer.concat(received).toString("latin1");
  const end = start.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [statusLine, ...lines] = start.slice(0, end).split("\r\n");
  const fields = new Map(
    lines.map((line) => [line.split(":")[0]!.toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  const contentLength = fields.get("content-length");
  if (contentLength === undefined) throw new Error(`a response without Content-Length: ${start.slice(0, end)}`);
  return {
    length: end + 4,
    bodyLength: Number(contentLength),
    status: Number(statusLine!.split(" ")[1]),
    origin: fields.get("x-origin"),
    closes: fields.get("connection") === "close",
  };
}
