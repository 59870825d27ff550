import { connect, createServer, type Socket } from "node:net";
import { once } from "node:events";
import { expect, test } from "vitest";
import { afterQuietTurn, turnWasQuiet } from "./quiet-turn.ts";

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

test("what arrives while the sockets of a turn are served is read before", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const pair = async (): Promise<[Socket, Socket]> => {
    const client = connect((server.address() as { port: number }).port, "127.0.0.1");
    const [socket] = (await once(server, "connection")) as [Socket];
    return [client, socket];
  };
  const [busy, busySocket] = await pair();
  const [late, lateSocket] = await pair();
  const order: string[] = [];
  busySocket.on("data", () => {
    order.push("busy");
    late.write("late");
    block(20);
  });
  lateSocket.on("data", () => order.push("late"));
  await new Promise<void>((resolve) => {
    setImmediate(() => {
      afterQuietTurn(() => {
        order.push("acted");
        resolve();
      });
      // Behind the beginning of the turn, before its sockets are read.
      setImmediate(() => busy.write("go"));
    });
  });
  expect(order).toEqual(["busy", "late", "acted"]);
  for (const socket of [busy, late, busySocket, lateSocket]) socket.destroy();
  server.close();
});

test("in the order in which they were asked for, over several turns", async () => {
  const acted: number[] = [];
  let turns = 0;
  let counting = true;
  const count = (): void => {
    turns++;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
  await new Promise<void>((resolve) => {
    for (let n = 0; n < 10; n++) {
      afterQuietTurn(() => {
        acted.push(n);
        block(1.5);
        if (n === 9) resolve();
      });
    }
  });
  counting = false;
  expect(acted).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(turns).toBeGreaterThan(10);
});

test("also where no turn is quiet", async () => {
  let busy = true;
  const work = (): void => {
    block(5);
    if (busy) setImmediate(work);
  };
  setImmediate(work);
  expect(await turnWasQuiet()).toBe(false);
  await new Promise<void>((resolve) => afterQuietTurn(resolve));
  busy = false;
});
