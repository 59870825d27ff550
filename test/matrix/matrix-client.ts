import { once } from "node:events";
import { Agent, request as http1Request, type ClientRequest, type IncomingMessage } from "node:http";
import { connect as http2Connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { Agent as TlsAgent, request as https1Request } from "node:https";
import { TRUSTED, type Leg } from "./legs.ts";

/** How clients of either version say that an answer was cut. */
export const CUT: RegExp = /aborted|cut|closed|reset|hang up|ECONNRESET|NGHTTP2/;

type Fields = Record<string, string | string[] | undefined>;

interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly fields?: Record<string, string | string[]>;
  /** All of it, with its length told. */
  readonly body?: string | Buffer;
  /** Ends the body when it is called; without it there is none, or {@link body} is all. */
  readonly stream?: (
    write: (piece: string | Buffer) => Promise<void>,
    end: (trailers?: Record<string, string>) => void,
  ) => Promise<void>;
}

interface Answered {
  readonly status: number;
  readonly fields: Fields;
  readonly informational: number[];
  readonly body: Buffer;
  readonly trailers: Fields;
}

/** An exchange that goes on. */
interface Exchange {
  /** The whole answer; rejects when it was cut. */
  readonly answered: Promise<Answered>;
  /** Its head. */
  readonly head: Promise<{ status: number; fields: Fields }>;
  /** Bytes of the body so far. */
  readonly received: number;
  pause(): void;
  resume(): void;
  /** Leaves in the middle of it. */
  leave(): void;
}

/** A client of either version, with one connection that is used again. */
export interface MatrixClient extends AsyncDisposable {
  ask(asked: Ask): Exchange;
  get(path: string, fields?: Record<string, string | string[]>): Promise<Answered>;
}

export function matrixClient(leg: Leg, address: string): MatrixClient {
  const client = leg.downstream === 2 ? http2Client(leg, address) : http1Client(leg, address);
  return { ...client, get: (path, fields = {}) => client.ask({ path, fields }).answered };
}

type Plain = Omit<MatrixClient, "get">;

function http1Client(leg: Leg, address: string): Plain {
  const [host, port] = address.split(":");
  const agent = leg.tls
    ? new TlsAgent({ keepAlive: true, ca: TRUSTED, servername: "" })
    : new Agent({ keepAlive: true });
  return {
    ask(asked) {
      const { method = "GET", path = "/", fields = {}, body, stream } = asked;
      const headers: Record<string, string | string[]> = { ...fields };
      if (body !== undefined) headers["Content-Length"] = String(Buffer.byteLength(body));
      const send = leg.tls ? https1Request : http1Request;
      const request = send({ host, port, method, path, headers, agent, setHost: headers["Host"] === undefined });
      const informational: number[] = [];
      request.on("information", ({ statusCode }) => informational.push(statusCode));
      const response = once(request, "response").then(([message]) => message as IncomingMessage);
      sendBody(asked, request, () => request.flushHeaders());
      if (stream === undefined) request.end(body);
      return exchangeOf(request, response, informational, {
        read: (message) => ({ status: message.statusCode!, fields: message.headers }),
        trailers: (message) => message.trailers,
        leave: () => request.destroy(),
      });
    },
    [Symbol.asyncDispose]: async () => agent.destroy(),
  };
}

function http2Client(leg: Leg, address: string): Plain {
  let session: ClientHttp2Session | undefined;
  const open = (): ClientHttp2Session => {
    if (session === undefined || session.closed || session.destroyed) {
      session = http2Connect(`${leg.tls ? "https" : "http"}://${address}`, { ca: TRUSTED });
      session.on("error", () => undefined);
    }
    return session;
  };
  return {
    ask(asked) {
      const { method = "GET", path = "/", fields = {}, body, stream } = asked;
      const headers: Record<string, string | string[]> = { ":method": method, ":path": path };
      for (const [name, value] of Object.entries(fields)) headers[name === "Host" ? ":authority" : name] = value;
      if (body !== undefined) headers["content-length"] = String(Buffer.byteLength(body));
      const endStream = body === undefined && stream === undefined;
      const request = open().request(headers, { endStream, waitForTrailers: stream !== undefined });
      const informational: number[] = [];
      let trailers: Fields = {};
      request.on("headers", (head: Fields) => informational.push(Number(head[":status"])));
      request.on("trailers", (given: Fields) => (trailers = given));
      const head = once(request, "response").then(([given]) => given as Fields);
      const response = head.then(() => request);
      sendBody(asked, request, () => undefined);
      if (body !== undefined) request.end(body);
      let given: Fields = {};
      void head.then(
        (read) => (given = read),
        () => undefined,
      );
      return exchangeOf(request, response, informational, {
        read: () => ({ status: Number(given[":status"]), fields: given }),
        trailers: () => trailers,
        leave: () => request.close(constants.NGHTTP2_CANCEL),
        code: () => request.rstCode,
      });
    },
    [Symbol.asyncDispose]: async () => session?.destroy(),
  };
}

function sendBody({ stream }: Ask, request: ClientRequest | ClientHttp2Stream, begin: () => void): void {
  if (stream === undefined) return;
  begin();
  const write = (piece: string | Buffer): Promise<void> =>
    new Promise((resolve) => request.write(piece, () => resolve()));
  const end = (trailers?: Record<string, string>): void => {
    if (!("addTrailers" in request)) request.once("wantTrailers", () => request.sendTrailers(trailers ?? {}));
    else if (trailers !== undefined) request.addTrailers(trailers);
    request.end();
  };
  void stream(write, end);
}

interface Reading<Message> {
  read(message: Message): { status: number; fields: Fields };
  trailers(message: Message): Fields;
  leave(): void;
  /** Of HTTP/2: why the stream ended. */
  code?(): number;
}

function exchangeOf<Message extends NodeJS.ReadableStream & { readonly readableEnded?: boolean }>(
  request: ClientRequest | ClientHttp2Stream,
  response: Promise<Message>,
  informational: number[],
  reading: Reading<Message>,
): Exchange {
  let message: Message | undefined;
  let received = 0;
  let paused = false;
  const answered = new Promise<Answered>((resolve, reject) => {
    request.on("error", reject);
    request.on("close", () => reject(new Error("closed before the end of the answer")));
    response.then((given) => {
      message = given;
      const pieces: Buffer[] = [];
      if (paused) given.pause();
      given.on("data", (piece: Buffer) => {
        pieces.push(piece);
        received += piece.length;
      });
      given.on("aborted", () => reject(new Error("the answer was cut")));
      given.on("error", reject);
      given.on("end", () => {
        if ((reading.code?.() ?? 0) !== 0) return;
        const head = reading.read(given);
        const body = Buffer.concat(pieces);
        resolve({ ...head, informational, body, trailers: reading.trailers(given) });
      });
    }, reject);
  });
  answered.catch(() => undefined);
  const head = response.then((given) => reading.read(given));
  head.catch(() => undefined);
  return {
    answered,
    head,
    get received() {
      return received;
    },
    pause() {
      paused = true;
      message?.pause();
    },
    resume() {
      paused = false;
      message?.resume();
    },
    leave: () => reading.leave(),
  };
}
