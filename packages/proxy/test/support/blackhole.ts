import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Worker } from "node:worker_threads";

// Listens, then never accepts: its event loop stands still, so the kernel's queue is all there is.
const PROGRAM = `
  const { parentPort, workerData } = require("node:worker_threads");
  const server = require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    setImmediate(() => Atomics.wait(new Int32Array(workerData), 0, 0));
  });
`;

/** An address at which a connection is never established, nor refused: SYNs are dropped, as behind a bad firewall. */
export async function blackhole(): Promise<AsyncDisposable & { readonly address: string }> {
  const shared = new SharedArrayBuffer(4);
  const worker = new Worker(PROGRAM, { eval: true, workerData: shared });
  const [port] = (await once(worker, "message")) as [number];
  const fillers: Socket[] = [];
  // Linux queues one more than the backlog says.
  for (let filler = 0; filler < 2; filler++) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    fillers.push(socket);
    await once(socket, "connect");
  }
  return {
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const filler of fillers) filler.destroy();
      Atomics.store(new Int32Array(shared), 0, 1);
      Atomics.notify(new Int32Array(shared), 0);
      await worker.terminate();
    },
  };
}
