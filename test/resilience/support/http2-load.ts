import { once } from "node:events";
import { connect, type ClientHttp2Session } from "node:http2";
import { buffer } from "node:stream/consumers";
import type { Call } from "./client.ts";
import { isGood } from "./page-load.ts";

/** Requests on one connection at the same time. */
const STREAMS = 4;

/**
 * Clients that speak HTTP/2 by TLS, several requests at once on each connection. After a GOAWAY they begin no more there, and connect
 * anew; what they had sent by then is to be answered (RFC 9113, section 6.8). What they had not, they send on the next one.
 */
export class Http2Load {
  /** Requests that were answered rightly. */
  done = 0;
  /** How many connections were told to go away. */
  sentAway = 0;
  /** What became of the others. */
  readonly failures: string[] = [];
  readonly #port: number;
  readonly #next: () => Call;
  /** Never sent: a GOAWAY came first. */
  readonly #unsent: Call[] = [];
  readonly #running: Promise<void>;
  #stopping = false;

  constructor(port: number, clients: number, next: () => Call) {
    this.#port = port;
    this.#next = next;
    this.#running = Promise.all(Array.from({ length: clients }, () => this.#run())).then(() => undefined);
  }

  /** Lets the last ones end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopping || this.#unsent.length > 0) {
      const session = connect(`https://127.0.0.1:${this.#port}`, { rejectUnauthorized: false });
      const closed = once(session, "close");
      session.on("error", () => undefined).once("goaway", () => this.sentAway++);
      await Promise.all(Array.from({ length: STREAMS }, () => this.#ask(session)));
      session.close();
      await closed;
    }
  }

  async #ask(session: ClientHttp2Session): Promise<void> {
    while ((!this.#stopping || this.#unsent.length > 0) && !session.closed && !session.destroyed) {
      const call = this.#unsent.shift() ?? this.#next();
      const stream = session.request({ ":method": call.method, ":path": call.target });
      let isSent = true;
      stream.once("frameError", () => (isSent = false));
      const answered = once(stream, "response") as Promise<[{ ":status"?: number }]>;
      const reading = buffer(stream);
      stream.end(call.method === "POST" ? "work" : undefined);
      try {
        const [[head], body] = await Promise.all([answered, reading]);
        const outcome = { ...call, end: "complete" as const, status: head[":status"] ?? Number.NaN, body };
        if (isGood(outcome)) this.done++;
        else this.failures.push(`${call.target}: ${outcome.status}, ${body.length} bytes`);
      } catch (error) {
        if (!isSent) {
          this.#unsent.push(call);
          continue;
        }
        this.failures.push(`${call.target}: ${String(error)}`);
      }
    }
  }
}
