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

/** Reads one after another, and gives what a receiver that keeps a view of each has in the end. */
async function readAll(
  reads: readonly Buffer[],
  onRead: (reader: SocketReader, read: number) => void,
): Promise<Buffer[]> {
  const reader = new SocketReader(true);
  await using sockets = await pair(reader);
  const views: Buffer[] = [];
  for (const [read, bytes] of reads.entries()) {
    const came = new Promise<void>((resolve) => {
      let left = bytes.length;
      const pieces: Buffer[] = [];
      reader.start({
        onData(buffer, end) {
          onRead(reader, read);
          pieces.push(buffer.subarray(0, end));
          left -= end;
          if (left > 0) return;
          views.push(...pieces);
          // The memory is used again, or is not, behind this event.
          setImmediate(resolve);
        },
      });
    });
    sockets.far.write(bytes);
    sockets.near.resume();
    await came;
  }
  return views;
}

const letters = (letter: string, count: number): Buffer => Buffer.from(letter.repeat(count));

test("what was lent shows that it was, and never what came later", async () => {
  const few = await readAll([letters("a", 10), letters("b", 100)], (reader) => reader.lend());
  expect(String(few[0])).toBe("[lent for ");
  expect(String(few[1])).toMatch(/^\[lent for the call of a hook, and kept without a copy\] \[lent for/);
  const many = await readAll([letters("a", 10), letters("b", 20_000)], (reader) => reader.lend());
  for (const view of many) expect(view).toHaveLength(0);
});

test("what was lent never shows what came later, though that is kept", async () => {
  const reads = ["a", "b", "c", "d"].map((letter, read) => letters(letter, read === 3 ? 20_000 : 200));
  const [first, second, third, last] = await readAll(reads, (reader, read) => {
    if (read % 2 === 0) reader.lend();
    else reader.keep();
  });
  for (const lent of [first!, third!]) expect(String(lent)).toMatch(/^\[lent for the call of a hook/);
  expect([second!, last!].map(String)).toEqual([reads[1]!, reads[3]!].map(String));
});

test("what is kept stays, though its memory is read into for long, and given back", async () => {
  const reads = Array.from({ length: 60 }, (_, read) =>
    letters(String.fromCharCode(48 + read), read === 0 ? 100 : 1500),
  );
  const views = await readAll(reads, (reader, read) => {
    if (read === 0) reader.keep();
    else reader.lend();
    if (read === 59) reader.useOwnBuffer(false);
  });
  expect(String(views[0])).toBe("0".repeat(100));
  for (const view of views.slice(1)) expect(String(view)).toMatch(/^(\[lent for the call of a hook.*)?$/);
});

test("what is kept stays, whether or not it was lent", async () => {
  const reads = Array.from({ length: 40 }, (_, read) => letters(String.fromCharCode(65 + read), 3000));
  const views = await readAll(reads, (reader, read) => {
    if (read % 2 === 0) reader.lend();
    reader.keep();
  });
  expect(String(Buffer.concat(views))).toBe(String(Buffer.concat(reads)));
});

test("few bytes that are kept leave the rest of their memory to the next reads", async () => {
  const views = await readAll([letters("a", 100), letters("b", 100), letters("c", 100)], (reader) => reader.keep());
  expect(new Set(views.map(({ buffer }) => buffer)).size).toBe(1);
  expect(String(Buffer.concat(views))).toBe(`${"a".repeat(100)}${"b".repeat(100)}${"c".repeat(100)}`);
});
