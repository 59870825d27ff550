import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";

const MESSAGE_EVERY_MS = 30;

/** Clients that talk by WebSocket, one connection after the other, each for `lastsMs`; what they say must come back. */
export class WebSockets {
  /** Connections that were answered to the end. */
  done = 0;
  /** What became of the others. */
  readonly failures: string[] = [];
  readonly #port: number;
  readonly #lastsMs: number;
  readonly #secure: boolean;
  readonly #running: Promise<void>;
  #stopping = false;

  /** @param secure Over TLS, whatever the certificate. Default false. */
  constructor(port: number, clients: number, lastsMs: number, secure: boolean = false) {
    this.#port = port;
    this.#lastsMs = lastsMs;
    this.#secure = secure;
    this.#running = Promise.all(Array.from({ length: clients }, () => this.#run())).then(() => undefined);
  }

  /** Lets the last ones end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      try {
        await using talk = await Talk.begin(this.#port, this.#secure);
        for (const endsAt = performance.now() + this.#lastsMs; performance.now() < endsAt;) {
          await talk.say();
          await sleep(MESSAGE_EVERY_MS);
        }
        this.done++;
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }
}

/** One WebSocket to an origin that says everything back. */
export class Talk implements AsyncDisposable {
  /** Resolves when the other side has ended it, with the close code. */
  readonly ended: Promise<number>;
  readonly #socket: WebSocket;
  #said = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.ended = once(socket, "close").then(([code]) => code as number);
    socket.on("error", () => undefined);
  }

  static async begin(port: number, secure: boolean = false): Promise<Talk> {
    const scheme = secure ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://127.0.0.1:${port}/echo`, { rejectUnauthorized: false });
    await once(socket, "open");
    return new Talk(socket);
  }

  /** Says something, and waits until it comes back. */
  async say(): Promise<void> {
    const words = `message ${this.#said++}`;
    const heard = once(this.#socket, "message") as Promise<[Buffer]>;
    heard.catch(() => undefined);
    this.#socket.send(words);
    const ended = this.ended.then((code) => Promise.reject(new Error(`ended with ${code} in the middle of ${words}`)));
    ended.catch(() => undefined);
    const [answer] = await Promise.race([heard, ended]);
    if (String(answer) !== words) throw new Error(`${String(answer)} came for ${words}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.ended;
  }
}
