import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** What a client does once; rejects when what came is not what it had to be. */
export type Habit = (port: number, random: () => number) => Promise<void>;

const FIELDS = "Host: soak.test\r\n";
const MAX_WAIT_MS = 10_000;

/** How clients behave, well and badly. The name tells what a failure was about. */
export const HABITS: Readonly<Record<string, Habit>> = {
  async "keep-alive requests"(port, random) {
    await using client = await Client.connect(port);
    const requests = 1 + Math.floor(random() * 10);
    for (let n = 0; n < requests; n++) await client.exchange("GET /small", "small");
  },
  async "pipelined requests"(port) {
    await using client = await Client.connect(port);
    client.send(`GET /small HTTP/1.1\r\n${FIELDS}\r\n`.repeat(5));
    await client.until((text) => text.split("\r\n\r\nsmall").length === 6);
  },
  async "a large response"(port) {
    await using client = await Client.connect(port);
    client.send(`GET /large HTTP/1.1\r\n${FIELDS}\r\n`);
    await client.until((text) => text.length > 512 * 1024);
  },
  async "a large response, read slowly"(port) {
    await using client = await Client.connect(port);
    client.send(`GET /large HTTP/1.1\r\n${FIELDS}\r\n`);
    for (let pause = 0; pause < 5; pause++) {
      client.socket.pause();
      await sleep(20);
      client.socket.resume();
      await sleep(5);
    }
    await client.until((text) => text.length > 512 * 1024);
  },
  async trailers(port) {
    await using client = await Client.connect(port);
    await client.exchange("GET /chunked", "x-sum: 2\r\n\r\n");
  },
  async "a slow origin"(port) {
    await using client = await Client.connect(port);
    await client.exchange("GET /slow", "0\r\n\r\n");
  },
  async "an upload"(port, random) {
    await using client = await Client.connect(port);
    const bytes = 1 + Math.floor(random() * 300_000);
    client.send(`POST /echo HTTP/1.1\r\n${FIELDS}Content-Length: ${bytes}\r\n\r\n`, "u".repeat(bytes));
    await client.until((text) => text.endsWith("0\r\n\r\n"));
  },
  async "an upload in chunks"(port) {
    await using client = await Client.connect(port);
    client.send(`POST /echo HTTP/1.1\r\n${FIELDS}Transfer-Encoding: chunked\r\n\r\n`);
    for (let n = 0; n < 20; n++) client.send(`1000\r\n${"c".repeat(4096)}\r\n`);
    client.send("0\r\nX-Up: 1\r\n\r\n");
    await client.until((text) => text.endsWith("0\r\n\r\n"));
  },
  async "an upload that is given up"(port) {
    await using client = await Client.connect(port);
    client.send(`POST /echo HTTP/1.1\r\n${FIELDS}Content-Length: 1000000\r\n\r\n`, "u".repeat(100_000));
    await client.until((text) => text.includes("uuuu"));
  },
  async "an upload that is answered early"(port) {
    await using client = await Client.connect(port);
    client.send(`POST /early HTTP/1.1\r\n${FIELDS}Content-Length: 200000\r\n\r\n`, "u".repeat(200_000));
    // The origin's close may overtake its answer.
    await client.until((text) => /^HTTP\/1\.1 (413|502)/.test(text));
  },
  async "a client that leaves at once"(port) {
    await using client = await Client.connect(port);
    client.send(`GET /slow HTTP/1.1\r\n${FIELDS}\r\n`);
  },
  async "a client that resets in the middle"(port) {
    const client = await Client.connect(port);
    client.send(`GET /large HTTP/1.1\r\n${FIELDS}\r\n`);
    await client.until((text) => text.length > 1000);
    client.socket.resetAndDestroy();
  },
  async "an upgrade"(port) {
    await using client = await Client.connect(port);
    client.send(`GET /chat HTTP/1.1\r\n${FIELDS}Connection: upgrade\r\nUpgrade: echo\r\n\r\n`);
    await client.until((text) => text.includes("101") && text.includes("\r\n\r\n"));
    for (let n = 0; n < 5; n++) {
      client.send(`<${n}>`);
      await client.until((text) => text.endsWith(`<${n}>`));
    }
  },
  async "an upgrade that is reset"(port) {
    const client = await Client.connect(port);
    client.send(`GET /chat HTTP/1.1\r\n${FIELDS}Connection: upgrade\r\nUpgrade: echo\r\n\r\nhello`);
    await client.until((text) => text.endsWith("hello"));
    client.socket.resetAndDestroy();
  },
  async "an origin that dies in a body"(port) {
    await using client = await Client.connect(port);
    client.send(`GET /die HTTP/1.1\r\n${FIELDS}\r\n`);
    await client.closed();
    if (client.text.length > 900) throw new Error("a response that was cut came whole");
  },
  async "an origin that hangs up"(port) {
    await using client = await Client.connect(port);
    await client.exchange("POST /hang-up", "\r\n\r\n", /^HTTP\/1\.1 502/);
  },
  async "a request that is refused"(port) {
    await using client = await Client.connect(port);
    await client.exchange("GET /refused", "no", /^HTTP\/1\.1 403/);
  },
  async "no request at all"(port) {
    await using client = await Client.connect(port);
    client.send(["", "GET ", "\0", "GET / HTTP/9.9\r\n\r\n"][port % 4]!);
  },
};

/** One connection, and all that came on it. */
class Client implements AsyncDisposable {
  readonly socket: Socket;
  text = "";
  #closed = false;
  #onChange: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      this.text += chunk;
      this.#onChange();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#closed = true;
      this.#onChange();
    });
  }

  static async connect(port: number): Promise<Client> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new Client(socket);
  }

  send(...parts: string[]): void {
    for (const part of parts) this.socket.write(part, "latin1");
  }

  /** A request, and the wait for a response that ends so. */
  async exchange(startLine: string, ending: string, like: RegExp = /^HTTP\/1\.1 200/): Promise<void> {
    this.text = "";
    this.send(`${startLine} HTTP/1.1\r\n${FIELDS}${startLine.startsWith("POST") ? "Content-Length: 0\r\n" : ""}\r\n`);
    await this.until((text) => text.endsWith(ending));
    if (!like.test(this.text)) throw new Error(`answered ${this.text.slice(0, 60)}`);
  }

  /** Until what came satisfies `enough`. */
  async until(enough: (text: string) => boolean): Promise<void> {
    await this.#change(() => {
      if (enough(this.text)) return true;
      if (this.#closed) throw new Error(`closed after ${JSON.stringify(this.text.slice(0, 100))}`);
      return false;
    });
  }

  async closed(): Promise<void> {
    await this.#change(() => this.#closed);
  }

  async #change(done: () => boolean): Promise<void> {
    const late = setTimeout(() => this.socket.destroy(new Error("late")), MAX_WAIT_MS);
    try {
      while (!done()) await new Promise<void>((resolve) => (this.#onChange = resolve));
    } finally {
      clearTimeout(late);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    if (!this.#closed) await once(this.socket, "close");
  }
}
