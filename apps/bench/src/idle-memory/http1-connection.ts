import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, type SecureContext } from "node:tls";
import { trust } from "../client.ts";
import type { Clients, HeldConnection } from "./held-connections.ts";

/** Opens a connection, by TLS if the proxy speaks it, and asks on it. */
export async function openHttp1({ client, requestsEach, exchange }: Clients): Promise<HeldConnection> {
  const { port, wire, ca } = client;
  const { request, answer } = exchange;
  const fields = [["Host", `127.0.0.1:${port}`], ...request.fields].map((field) => `${field.join(": ")}\r\n`);
  const head = `${request.method} ${request.path} HTTP/1.1\r\n${fields.join("")}\r\n`;
  const socket = wire.tls
    ? connectTls({ host: "127.0.0.1", port, secureContext: contextOf(ca) })
    : connect(port, "127.0.0.1");
  socket.setEncoding("latin1");
  try {
    await once(socket, wire.tls ? "secureConnect" : "connect");
    for (let count = 0; count < requestsEach; count++) await ask(socket, head, answer.content.toString("latin1"));
  } catch (error) {
    socket.destroy();
    throw error;
  }
  socket.resume(); // its end shows only to who reads
  socket.on("error", () => {}); // which closes it
  return {
    closed: () => socket.destroyed,
    // So that no port is kept busy; a socket with TLS has no such method.
    destroy: () => (wire.tls ? socket.destroy() : socket.resetAndDestroy()),
  };
}

/** One context for all: making one for each would take longer than the handshakes. */
function contextOf(ca: string): SecureContext {
  const context = contexts.get(ca) ?? createSecureContext(trust(ca));
  contexts.set(ca, context);
  return context;
}

const contexts = new Map<string, SecureContext>();

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
