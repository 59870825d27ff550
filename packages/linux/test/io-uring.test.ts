import { AsyncLocalStorage } from "node:async_hooks";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, test } from "vitest";
import { ioUring, setBufferSizes, type IoUring, type UringStream } from "@sluice/linux";

let uring: IoUring | undefined;
try {
  uring = ioUring();
} catch {
  // Below, all is left out.
}

const servers: Server[] = [];
const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** What a reader of the tests has got; it copies, and leaves the memory to whoever it belongs to. */
class Got {
  readonly pieces: Buffer[] = [];
  bytes = 0;
  onPiece: ((piece: Buffer) => void) | undefined = undefined;

  received(buffer: Buffer, bytes: number): Buffer {
    const piece = Buffer.from(buffer.subarray(0, bytes));
    this.pieces.push(piece);
    this.bytes += bytes;
    this.onPiece?.(piece);
    return buffer;
  }

  get all(): Buffer {
    return Buffer.concat(this.pieces);
  }
}

interface Pair {
  /** Ours, carried by io_uring, and what came to it. */
  readonly ours: UringStream;
  readonly got: Got;
  readonly peer: Socket;
}

async function pair(reader = new Got()): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const peer = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  sockets.push(peer);
  peer.on("error", () => undefined);
  const [accepted] = (await once(server, "connection")) as [Socket];
  const ours = uring!.adopt(accepted, reader)!;
  return { ours, got: reader, peer };
}

/** Resolves when `bytes` have come. */
function have(got: Got, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (got.bytes >= bytes) resolve();
    };
    got.onPiece = look;
    look();
  });
}

async function textOf(socket: Socket): Promise<string> {
  const pieces: Buffer[] = [];
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  await once(socket, "end");
  return Buffer.concat(pieces).toString("latin1");
}

const descriptors = (): number => readdirSync("/proc/self/fd").length;

describe.skipIf(uring === undefined)("a connection by io_uring", () => {
  test("carries what is written, by either side, in order", async () => {
    const { ours, got, peer } = await pair();
    ours.resume();
    peer.write("to us");
    await have(got, 5);
    expect(got.all.toString()).toBe("to us");
    ours.write("héad\r\n", "latin1");
    ours.write(Buffer.from("body"));
    ours.end();
    expect(await textOf(peer)).toBe("héad\r\nbody");
    expect(ours.bytesRead).toBe(5);
    expect(ours.bytesWritten).toBe(10);
    expect(ours.remotePort).toBe(peer.localPort);
  });

  test.each([1000, 20_000, 70_000, 3_000_000])(
    "carries pieces of %i bytes both ways at a time, whole",
    async (size) => {
      const { ours, got, peer } = await pair();
      const pieces = Array.from({ length: Math.max(4, Math.ceil(2_000_000 / size)) }, () => randomBytes(size));
      const sent = Buffer.concat(pieces);
      const back: Buffer[] = [];
      peer.on("data", (piece: Buffer) => back.push(piece));
      const over = once(ours, "close");
      ours.resume();
      for (const piece of pieces) {
        peer.write(piece);
        // Its memory is ours as long as `lentLength` says, and everybody's then.
        const mine = Buffer.from(piece);
        if (!ours.write(mine)) await once(ours, "drain");
        else if (ours.lentLength === 0) mine.fill(0);
      }
      ours.end();
      peer.end();
      await Promise.all([have(got, sent.length), once(peer, "end")]);
      expect(got.all.equals(sent)).toBe(true);
      expect(Buffer.concat(back).equals(sent)).toBe(true);
      await over;
    },
  );

  test("sends what was held by cork in one piece, however it was cut", async () => {
    const { ours, peer } = await pair();
    peer.setNoDelay(true);
    const reads: string[] = [];
    peer.on("data", (piece: Buffer) => reads.push(piece.toString("latin1")));
    ours.cork();
    for (let i = 0; i < 20; i++) ours.write(`${i},`, "latin1");
    ours.uncork();
    ours.end();
    await once(peer, "end");
    expect(reads.join("")).toBe(Array.from({ length: 20 }, (_, i) => `${i},`).join(""));
  });

  test("reads nothing while it is paused, beyond what had come, and loses nothing", async () => {
    const { ours, got, peer } = await pair();
    const sent = randomBytes(8_000_000);
    let taken = 0;
    got.onPiece = () => {
      if (++taken % 3 === 0) {
        ours.pause();
        setImmediate(() => ours.resume());
      }
    };
    ours.resume();
    peer.end(sent);
    await once(ours, "end");
    expect(got.all.equals(sent)).toBe(true);
  });

  test("slows down a peer that sends to somebody who does not read", async () => {
    const { ours, got, peer } = await pair();
    ours.resume();
    peer.write("x");
    await have(got, 1);
    ours.pause();
    const big = Buffer.alloc(64_000_000);
    peer.write(big);
    // Far more than all buffers on the way.
    let before = -1;
    while (peer.bytesWritten !== before || peer.writableLength === 0) {
      before = peer.bytesWritten;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(peer.writableLength).toBeGreaterThan(0);
    expect(got.bytes).toBe(1);
    ours.resume();
    await have(got, 1 + big.length);
  });

  test("tells when what waited has left", async () => {
    const { ours, peer } = await pair();
    peer.pause();
    let accepted = true;
    while (accepted) accepted = ours.write(Buffer.alloc(1_000_000));
    expect(ours.writableLength).toBeGreaterThan(0);
    peer.resume();
    await once(ours, "drain");
    expect(ours.writableLength).toBe(0);
    expect(ours.lentLength).toBe(0);
  });

  test("says of a large piece that its memory is needed until it has left", async () => {
    const { ours, peer } = await pair();
    peer.pause();
    const sent = randomBytes(32_000_000);
    ours.write(sent);
    expect(ours.lentLength).toBeGreaterThan(0);
    // By these it is seen that a peer takes nothing, whose connection would stay for ever.
    expect(ours._handle?.writeQueueSize).toBe(ours.writableLength);
    expect(ours.bytesWritten).toBe(sent.length);
    ours.end();
    const pieces: Buffer[] = [];
    peer.on("data", (piece: Buffer) => pieces.push(piece));
    peer.resume();
    await once(peer, "end");
    expect(Buffer.concat(pieces).equals(sent)).toBe(true);
    expect(ours.lentLength).toBe(0);
  });

  test("shows how much of a large piece has left", async () => {
    const { ours, peer } = await pair();
    peer.pause();
    const bytes = 64_000_000;
    ours.write(Buffer.alloc(bytes));
    const before = ours.writableLength;
    expect(before).toBeLessThan(bytes);
    let taken = 0;
    peer.on("data", (piece: Buffer) => {
      taken += piece.length;
      if (taken > 16_000_000) peer.pause();
    });
    peer.resume();
    while (ours.writableLength > before - 8_000_000) await new Promise((resolve) => setImmediate(resolve));
    expect(ours.writableLength).toBeGreaterThan(0);
    peer.removeAllListeners("data").resume();
    await once(ours, "drain");
  });

  test("repeats nothing of a piece of which some had left when it was corked", async () => {
    for (let bytes = 20_000; bytes < 80_000; bytes += 4000) {
      const { ours, peer } = await pair();
      peer.pause();
      setBufferSizes(ours, { sendBytes: 8192 });
      const sent = randomBytes(2_000_000 + bytes);
      // As much as goes; then a piece of which some goes.
      for (let at = 0; ours.lentLength === 0; at += bytes) ours.write(sent.subarray(at, at + bytes));
      const wrote = ours.bytesWritten;
      const before = ours.writableLength;
      ours.cork();
      const pieces: Buffer[] = [];
      peer.on("data", (piece: Buffer) => pieces.push(piece)).resume();
      while (ours.writableLength === before) await new Promise((resolve) => setImmediate(resolve));
      ours.uncork();
      ours.end();
      await once(peer, "end");
      expect(Buffer.concat(pieces).equals(sent.subarray(0, wrote))).toBe(true);
    }
  });

  test("each direction ends alone; when both are, it closes", async () => {
    const { ours, got, peer } = await pair();
    ours.resume();
    peer.end("all of it");
    await once(ours, "end");
    expect(got.all.toString()).toBe("all of it");
    expect(ours.destroyed).toBe(false);
    const over = once(ours, "close");
    ours.end();
    ours.write("too late", "latin1");
    expect(await textOf(peer)).toBe("");
    await over;
    expect(ours.destroyed).toBe(true);
  });

  test("what was written before it is destroyed arrives", async () => {
    const { ours, peer } = await pair();
    ours.write("one,", "latin1");
    ours.write("two,", "latin1");
    ours.write(Buffer.alloc(20_000, "3"));
    ours.write("four", "latin1");
    ours.destroy();
    expect(await textOf(peer)).toBe(`one,two,${"3".repeat(20_000)}four`);
  });

  test("tells no finish of what could not be written", async () => {
    const { ours, peer } = await pair();
    const told: string[] = [];
    ours.on("finish", () => told.push("finish")).on("error", () => told.push("error"));
    peer.destroy();
    while (ours.writableLength === 0 && !ours.destroyed) {
      if (!ours.write(Buffer.alloc(1_000_000))) ours.end();
      await new Promise((resolve) => setImmediate(resolve));
    }
    ours.end();
    await new Promise((resolve) => ours.once("close", resolve));
    expect(told).toEqual(["error"]);
  });

  test("what the system does not take is lost when it is destroyed, and whoever wrote it is told", async () => {
    const { ours, peer } = await pair();
    peer.pause();
    const told: unknown[] = [];
    for (let i = 0; i < 100; i++) ours.write(Buffer.alloc(1_000_000), (error) => told.push(error ?? "taken"));
    ours.destroy();
    await once(ours, "close");
    expect(told).toHaveLength(100);
    expect(told.at(-1)).toBeInstanceOf(Error);
    expect(ours.lentLength).toBe(0);
  });

  test("a reset reaches the peer, and that of the peer comes as an error", async () => {
    const first = await pair();
    first.ours.resume();
    const told = once(first.peer, "error");
    first.ours.resetAndDestroy();
    expect((await told)[0]).toMatchObject({ code: "ECONNRESET" });
    const second = await pair();
    second.ours.resume();
    second.peer.resetAndDestroy();
    const [error] = (await once(second.ours, "error")) as [Error];
    expect(error).toMatchObject({ code: "ECONNRESET", syscall: "read" });
    expect(second.ours.errored).toBe(error);
    await once(second.ours, "close");
  });

  test("is closed when it is to be reset while it ends", async () => {
    const { ours, peer } = await pair();
    const before = descriptors();
    const over = once(ours, "close");
    ours.end();
    ours.resetAndDestroy();
    await over;
    peer.destroy();
    expect(descriptors()).toBeLessThan(before);
  });

  test("a reset is no end, though it was writing that had the error", async () => {
    const { ours, got, peer } = await pair();
    const told: string[] = [];
    ours.on("end", () => told.push("end")).on("error", (error: Error) => told.push(error.message));
    peer.write("a part", () => peer.resetAndDestroy());
    await once(peer, "close");
    // Nothing is being read: the first to hear of the reset is this.
    ours.write("x", "latin1");
    await new Promise((resolve) => ours.once("close", resolve));
    expect(told).toEqual(["write ECONNRESET"]);
    expect(got.all.toString()).toBe("a part");
  });

  test("ends though it is corked, behind what that holds", async () => {
    const { ours, peer } = await pair();
    ours.cork();
    ours.write("held", "latin1");
    ours.end();
    expect(await textOf(peer)).toBe("held");
  });

  test("however many connections go on sending at a time, all do", async () => {
    // Each has more to send than leaves at once, in memory that is lent. More of them than there is room for on the stack.
    const pairs: Pair[] = [];
    for (let i = 0; i < 2000; i++) pairs.push(await pair());
    const piece = Buffer.alloc(20_000);
    for (const { ours } of pairs) {
      while (ours.lentLength === 0) ours.write(piece);
      for (let i = 0; i < 12; i++) ours.write(piece);
      ours.end();
    }
    const ended = pairs.map(({ peer }) => once(peer, "end"));
    for (const { peer } of pairs) peer.resume();
    await Promise.all(ended);
    expect(pairs.filter(({ ours }) => ours.writableLength > 0)).toHaveLength(0);
    for (const { ours } of pairs) ours.destroy();
  });

  test("all that has arrived is read when that is asked for, on however many connections", async () => {
    const pairs: Pair[] = [];
    for (let i = 0; i < 700; i++) pairs.push(await pair());
    for (const { ours } of pairs) ours.resume();
    await new Promise((resolve) => setImmediate(resolve));
    // The last callback comes in the turn in which the last of them has left.
    let left = pairs.length;
    await new Promise<void>((resolve) => {
      for (const { peer } of pairs) peer.write("x", () => --left === 0 && resolve());
    });
    uring!.readArrived();
    expect(pairs.filter(({ got }) => got.bytes === 0)).toHaveLength(0);
    for (const { ours } of pairs) ours.destroy();
  });

  test("what one who is told enters of an AsyncLocalStorage is not entered for the next", async () => {
    const storage = new AsyncLocalStorage<string>();
    const stores: unknown[] = [];
    const look = (): void => {
      stores.push(storage.getStore());
      storage.enterWith("of somebody");
    };
    for (let i = 0; i < 3; i++) {
      const { ours, got, peer } = await pair();
      got.onPiece = look;
      ours.resume();
      peer.write("x");
    }
    await expect.poll(() => stores).toEqual([undefined, undefined, undefined]);
  });

  test("what a peer said before it could not be written to any more is read first", async () => {
    const { ours, got, peer } = await pair();
    const failed = once(ours, "error");
    peer.write("413 too much");
    await once(peer, "ready").catch(() => undefined);
    peer.end();
    peer.destroy();
    // Nobody has read yet: the peer closes with nothing unread, and answers what comes by a reset.
    while (!ours.destroyed) {
      ours.write(Buffer.alloc(100_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await failed)[0]).toMatchObject({ syscall: expect.stringMatching(/write|read/) });
    expect(got.all.toString()).toBe("413 too much");
  });

  test("more connections than there is memory to read into at a time all get what is theirs", async () => {
    const pairs = await Promise.all(Array.from({ length: 300 }, () => pair()));
    for (const { ours } of pairs) ours.resume();
    const bodies = pairs.map(({ peer }) => {
      const body = randomBytes(150_000);
      peer.write(body);
      return body;
    });
    await Promise.all(pairs.map(({ got }) => have(got, 150_000)));
    for (const [i, { got }] of pairs.entries()) expect(got.all.equals(bodies[i]!)).toBe(true);
  });

  test("memory that somebody keeps stays as it is", async () => {
    const kept: Buffer[] = [];
    const reader = new Got();
    reader.received = (buffer, bytes) => {
      kept.push(buffer.subarray(0, bytes));
      reader.bytes += bytes;
      reader.onPiece?.(buffer);
      return Buffer.allocUnsafeSlow(buffer.length);
    };
    const { ours, peer } = await pair(reader);
    ours.resume();
    const sent = randomBytes(20_000_000);
    peer.end(sent);
    await once(ours, "end");
    expect(Buffer.concat(kept).equals(sent)).toBe(true);
  });

  test("a reader that throws takes nothing from others", async () => {
    const failing = new Got();
    failing.received = () => {
      throw new Error("by a reader");
    };
    const first = await pair(failing);
    const second = await pair();
    const uncaught = new Promise<Error>((resolve) => {
      const listeners = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.once("uncaughtException", (error) => {
        for (const listener of listeners) process.on("uncaughtException", listener);
        resolve(error);
      });
    });
    first.ours.resume();
    second.ours.resume();
    first.peer.write("x");
    second.peer.write("y");
    await have(second.got, 1);
    expect((await uncaught).message).toBe("by a reader");
  });

  test("leaves no descriptor behind", async () => {
    const before = descriptors();
    for (let i = 0; i < 50; i++) {
      const { ours, peer } = await pair();
      ours.on("error", () => undefined).on("end", () => ours.end());
      const over = once(ours, "close");
      ours.resume();
      if (i % 3 === 0) peer.destroy();
      else if (i % 3 === 1) ours.destroy();
      else peer.end();
      await over;
      peer.destroy();
      servers.pop()!.close();
    }
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(descriptors()).toBeLessThanOrEqual(before);
  });

  /** Runs `body` in a process of its own, with a connection in `ours` and `peer` in the parent. */
  async function inProcess(body: string): Promise<{ got: string; code: number }> {
    const server = createServer().listen(0, "127.0.0.1");
    servers.push(server);
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const program = `
      import { connect } from "node:net";
      import { ioUring } from "@sluice/linux";
      const socket = connect({ port: ${port}, host: "127.0.0.1", allowHalfOpen: true }).pause();
      socket.once("connect", () => {
        const ours = ioUring().adopt(socket, { received: (buffer) => buffer });
        ${body}
      });`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      cwd: import.meta.dirname,
      stdio: ["ignore", "inherit", "inherit"],
    });
    const exited = once(child, "exit") as Promise<[number]>;
    const [peer] = (await once(server, "connection")) as [Socket];
    peer.on("error", () => undefined);
    const got = await textOf(peer);
    peer.destroy();
    return { got, code: (await exited)[0] };
  }

  test("what was written leaves when the process ends at once", async () => {
    const { got, code } = await inProcess(`
      ours.write("one,", "latin1");
      ours.write("two,", "latin1");
      process.on("exit", () => ours.write("three", "latin1"));
      process.exit(7);`);
    expect({ got, code }).toEqual({ got: "one,two,three", code: 7 });
  });

  test("a process ends that only has connections which do not keep it", async () => {
    const { got, code } = await inProcess(`ours.resume(); ours.write("bye", "latin1"); ours.unref();`);
    expect({ got, code }).toEqual({ got: "bye", code: 0 });
  });

  test("cannot be had in a worker thread, which is said", async () => {
    const source = `
      import { parentPort } from "node:worker_threads";
      import { ioUring } from "@sluice/linux";
      try { ioUring(); parentPort.postMessage("had"); } catch (error) { parentPort.postMessage(error.code + " " + error.message); }`;
    const url = new URL(
      `data:text/javascript,${encodeURIComponent(source.replaceAll("@sluice/linux", new URL("../src/index.ts", import.meta.url).href))}`,
    );
    const worker = new Worker(url);
    const [message] = (await once(worker, "message")) as [string];
    expect(message).toMatch(/^ENOSYS .*main thread/);
    await worker.terminate();
  });

  test("a socket that is closed is not taken", async () => {
    const { peer } = await pair();
    peer.destroy();
    await once(peer, "close");
    expect(uring!.adopt(peer, new Got())).toBeUndefined();
  });
});
