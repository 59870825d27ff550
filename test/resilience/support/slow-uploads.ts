import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent, request, type IncomingMessage } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { pattern } from "./pattern.ts";

const CHUNK_BYTES = 10_000;
const CHUNK_EVERY_MS = 50;

/** Clients that upload, slowly and one body after the other; each body takes `lastsMs`. */
export class SlowUploads {
  /** Uploads that were answered rightly. */
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
    this.#running = Promise.all(Array.from({ length: clients }, (_, index) => this.#run(index))).then(() => undefined);
  }

  /** Lets the last ones end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async #run(index: number): Promise<void> {
    // They do not all begin and end at once.
    await sleep((this.#lastsMs * index) / 10);
    while (!this.#stopping) {
      try {
        await this.#upload(`${index}`);
        this.done++;
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  async #upload(seed: string): Promise<void> {
    // One upload, one connection: a client would send no other on one that may be closed under it.
    using own = new DisposableStack();
    const agent = own.adopt(this.#secure ? new TlsAgent({ rejectUnauthorized: false }) : new Agent(), (used) =>
      used.destroy(),
    );
    const how = { port: this.#port, host: "127.0.0.1", method: "POST", path: "/hash", agent };
    const outgoing = this.#secure ? tlsRequest(how) : request(how);
    const answer = once(outgoing, "response") as Promise<[IncomingMessage]>;
    answer.catch(() => undefined);
    const hash = createHash("sha256");
    let bytes = 0;
    const chunk = pattern(seed, CHUNK_BYTES);
    for (const endsAt = performance.now() + this.#lastsMs; performance.now() < endsAt;) {
      if (outgoing.destroyed) break;
      outgoing.write(chunk);
      hash.update(chunk);
      bytes += chunk.length;
      await sleep(CHUNK_EVERY_MS);
    }
    outgoing.end();
    const [response] = await answer;
    const body = await text(response);
    const expected = JSON.stringify({ bytes, hash: hash.digest("hex") });
    if (response.statusCode !== 200 || body !== expected)
      throw new Error(`${response.statusCode} ${body}, not ${expected}`);
  }
}
