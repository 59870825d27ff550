import { openHttp2Client } from "../client.ts";
import type { Clients, HeldConnection } from "./held-connections.ts";

/** Opens a session of HTTP/2 and asks on it. */
export async function openHttp2({ client, requestsEach, exchange }: Clients): Promise<HeldConnection> {
  const session = openHttp2Client(client);
  try {
    for (let count = 0; count < requestsEach; count++) {
      const { status, content } = await session.send(exchange.request);
      if (status !== 200 || !content.equals(exchange.answer.content))
        throw new Error(`a wrong answer: ${status}, ${JSON.stringify(content.toString("latin1", 0, 200))}`);
    }
  } catch (error) {
    session[Symbol.dispose]();
    throw error;
  }
  return { closed: () => session.closed(), destroy: () => session[Symbol.dispose]() };
}
