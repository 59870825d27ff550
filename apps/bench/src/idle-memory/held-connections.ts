import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Exchange } from "../workload.ts";

/** Which connections to open, and what goes over each before it is left alone. */
export interface Clients {
  /** Of 127.0.0.1. */
  readonly port: number;
  readonly connections: number;
  /** How many of them are under way at a time. */
  readonly atOnce: number;
  readonly requestsEach: number;
  /** A GET. */
  readonly exchange: Exchange;
  readonly signal: AbortSignal;
}

/** Open connections without a request. All are reset when this is disposed of. */
export interface HeldConnections extends Disposable {
  /** How many of them the other side has closed. */
  closed(): number;
}

/** Opens connections. Throws, with none left open, when an answer is wrong, or does not come within 5 s. */
export async function holdConnections(clients: Clients): Promise<HeldConnections> {
  const { connections, atOnce, signal } = clients;
  const sockets: Socket[] = [];
  const held: HeldConnections = {
    closed: () => sockets.filter((socket) => socket.destroyed).length,
    [Symbol.dispose]: () => sockets.forEach((socket) => socket.resetAndDestroy()),
  };
  let next = 0;
  const openSome = async (): Promise<void> => {
    try {
      while (next++ < connections) {
        signal.throwIfAborted();
        sockets.push(await openOne(clients));
      }
    } catch (error) {
      next = connections; // the others stop, too
      throw error;
    }
  };
  const opened = await Promise.allSettled(Array.from({ length: atOnce }, openSome));
  const failed = opened.find((result) => result.status === "rejected");
  if (failed === undefined) return held;
  held[Symbol.dispose]();
  throw failed.reason;
}

async function openOne({ port, requestsEach, exchange: { request, answer } }: Clients): Promise<Socket> {
  const fields = [["Host", `127.0.0.1:${port}`], ...request.fields].map((field) => `${field.join(": ")}\r\n`);
  const head = `${request.method} ${request.path} HTTP/1.1\r\n${fields.join("")}\r\n`;
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  try {
    await once(socket, "connect");
    for (let count = 0; count < requestsEach; count++) await ask(socket, head, answer.content.toString("latin1"));
  } catch (error) {
    socket.resetAndDestroy();
    throw error;
  }
  socket.resume(); // its end shows only to who reads
  socket.on("error", () => {}); // which closes it
  return socket;
}

/** Sends a request and waits for all of its answer. */
function ask(socket: Socket, head: string, content: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = "";
    const onData = (chunk: string): void => {
      text += chunk;
      if (text.startsWith("HTTP/1.1 200 ") && text.endsWith(`\r\n\r\n${content}`)) settle();
    };
    const onFailure = (): void => settle(new Error(`a wrong answer: ${JSON.stringify(text.slice(0, 200))}`));
    const settle = (error?: Error): void => {
      socket.setTimeout(0);
      socket.off("data", onData).off("error", onFailure).off("close", onFailure).off("timeout", onFailure);
      if (error) reject(error);
      else resolve();
    };
    socket.on("data", onData).on("error", onFailure).on("close", onFailure).on("timeout", onFailure);
    socket.setTimeout(5_000);
    socket.write(head, "latin1");
  });
}
