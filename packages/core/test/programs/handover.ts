import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import type { FdHandover } from "../../src/index.ts";

/** As on a machine that is busy: whoever asks for the sockets before the new process says that it waits meets nobody. */
const LISTENS_AFTER_MS = 100;

/**
 * A hand-over that moves nothing, for tests of the order of things: the new process binds the same addresses beside the old one,
 * which has said that it shares them.
 * @param mode `fails`: the old process cannot send; `waits`: it tries for ever.
 */
export function orderOnlyHandover(mode: string): FdHandover {
  return {
    receive: (path, { timeoutMs, onListening, signal }) =>
      new Promise((resolve, reject) => {
        const giveUp = (reason: unknown): void => {
          clearTimeout(timer);
          server.close();
          reject(reason);
        };
        signal?.addEventListener("abort", () => giveUp(signal.reason), { once: true });
        const server = createServer((socket) => {
          clearTimeout(timer);
          server.close();
          const answer = (text: string): Promise<void> => new Promise((sent) => socket.end(`${text}\n`, sent));
          resolve({
            fds: new Map(),
            serving: () => answer("serving"),
            failed: (reason) => void answer(`failed ${reason}`),
          });
        });
        setTimeout(() => server.listen(path, onListening), LISTENS_AFTER_MS);
        const timer = setTimeout(() => giveUp(new Error("nobody came")), timeoutMs);
      }),
    send: async (path, fds, { signal }) => {
      if (mode === "fails") throw new Error("for a test");
      if (mode === "waits") {
        await new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
      }
      const socket = await new Promise<Socket>((resolve, reject) => {
        const client = connect(path, () => resolve(client)).on("error", reject);
      });
      socket.write(`${JSON.stringify([...fds])}\n`);
      for await (const line of createInterface({ input: socket })) {
        if (line === "serving") return;
        throw new Error(line);
      }
      throw new Error("the new process ended");
    },
  };
}
