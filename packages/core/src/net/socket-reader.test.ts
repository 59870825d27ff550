import { once } from "node:events";
import { createServer, Socket, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { SocketReader } from "./socket-reader.ts";

/** A socket whose bytes come by `reader`, and its other end. */
async function pair(reader: SocketReader): Promise<{ near: Socket; far: Socket } & AsyncDisposable> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = new Socket({ onread: reader.onread });
  near.connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [far] = (await once(server, "connection")) as [Socket];
  return {
    near,
    far,
    async [Symbol.asyncDispose]() {
      near.destroy();
      far.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

test("bytes that come before anybody starts are held, if that is asked for", async () => {
  const reader = new SocketReader(true, true);
  await using sockets = await pair(reader);
  sockets.far.end("early");
  await once(sockets.near.resume(), "end");
  expect(reader.spokeEarly).toBe(false);
  const got = await new Promise<string>((resolve) => {
    reader.start({ onData: (buffer, end) => resolve(buffer.toString("latin1", 0, end)) });
  });
  expect(got).toBe("early");
  expect(reader.takeHeld()).toBeUndefined();
});

test("or taken by somebody who reads in another way", async () => {
  const reader = new SocketReader(false, true);
  await using sockets = await pair(reader);
  sockets.far.write("ear");
  sockets.far.end("ly");
  await once(sockets.near.resume(), "end");
  expect(String(reader.takeHeld())).toBe("early");
  expect(reader.takeHeld()).toBeUndefined();
});

test("otherwise they are dropped, and that is told", async () => {
  const reader = new SocketReader(true);
  await using sockets = await pair(reader);
  sockets.far.end("early");
  await once(sockets.near.resume(), "end");
  expect(reader.spokeEarly).toBe(true);
  expect(reader.takeHeld()).toBeUndefined();
});
