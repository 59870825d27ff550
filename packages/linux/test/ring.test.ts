import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Calls } from "../src/io-uring/calls.ts";
import type { IoUring, UringStream } from "../src/index.ts";

/** How the system is asked, and which of the next times it refuses, as it does when it has no memory. */
const system = vi.hoisted(() => ({ asked: 0, refuses: (_nth: number): boolean => false, refused: 0 }));

vi.mock(import("../src/io-uring/calls.ts"), async (original) => {
  const module = await original();
  const loadCalls = (): Calls => {
    const calls = module.loadCalls();
    return {
      ...calls,
      enter(fd, submit, flags) {
        if (submit === 0 || !system.refuses(++system.asked)) return calls.enter(fd, submit, flags);
        system.refused++;
        return -1;
      },
    };
  };
  return { ...module, loadCalls };
});

// Whoever sets tests up may have it already, with the calls as they are.
vi.resetModules();

let uring: IoUring | undefined;
try {
  uring = (await import("../src/index.ts")).ioUring();
} catch {
  // Below, all is left out.
}

const servers: Server[] = [];
const sockets: Socket[] = [];

afterEach(() => {
  refuse(() => false);
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

function refuse(which: (nth: number) => boolean): void {
  system.asked = 0;
  system.refused = 0;
  system.refuses = which;
}

interface Pair {
  readonly ours: UringStream;
  readonly peer: Socket;
  /** What came to us. */
  got: string;
  onGot: () => void;
  /** What came to the peer. */
  told: string;
}

/** A connection that is carried by io_uring at one end. */
class Door {
  readonly #server = createServer({ pauseOnConnect: true });
  async open(): Promise<this> {
    servers.push(this.#server);
    await once(this.#server.listen(0, "127.0.0.1", 4096), "listening");
    return this;
  }

  async pair(): Promise<Pair> {
    const peer = connect({ port: (this.#server.address() as AddressInfo).port, host: "127.0.0.1", noDelay: true });
    sockets.push(peer);
    const [accepted] = (await once(this.#server, "connection")) as [Socket];
    const received = (buffer: Buffer, bytes: number): Buffer => {
      pair.got += buffer.toString("latin1", 0, bytes);
      pair.onGot();
      return buffer;
    };
    const ours = uring!.adopt(accepted, { received })!;
    ours.on("error", () => undefined);
    const pair: Pair = { ours, peer, got: "", onGot: () => undefined, told: "" };
    peer.on("error", () => undefined).on("data", (piece: Buffer) => (pair.told += piece.toString("latin1")));
    return pair;
  }
}

async function pairs(count: number): Promise<Pair[]> {
  const door = await new Door().open();
  const all: Pair[] = [];
  for (let i = 0; i < count; i++) all.push(await door.pair());
  return all;
}

describe.skipIf(uring === undefined)("the ring", () => {
  test("is asked for more in one turn than it has room for, and has more results than that, and loses none", async () => {
    const all = await pairs(4500);
    const ended = all.map(({ peer }) => once(peer, "end"));
    const closed = all.map(({ ours }) => once(ours, "close"));
    for (const [i, { ours }] of all.entries()) {
      ours.write(`${i}.`, "latin1");
      ours.resume().pause();
      ours.resume().write("!", "latin1");
      ours.end();
    }
    await Promise.all(ended);
    expect(all.map(({ told }) => told)).toEqual(all.map((_, i) => `${i}.!`));
    await Promise.all(closed);
  });

  test("what the system refuses at first it is given again, though nothing else happens", async () => {
    const [pair] = await pairs(1);
    refuse((nth) => nth <= 3);
    pair!.ours.write("late", "latin1");
    pair!.ours.end();
    await once(pair!.peer, "end");
    expect(pair!.told).toBe("late");
    expect(system.refused).toBe(3);
  });

  test("what was sent is told once, also when the system refuses more while it is", async () => {
    const all = await pairs(1100);
    const ended = all.map(({ peer }) => once(peer, "end"));
    // Full; then all of it; then full again, by those who are told.
    refuse((nth) => nth === 3);
    for (const [i, { ours }] of all.entries()) {
      ours.write(`${i}.`, "latin1");
      ours.write("second", "latin1");
      ours.end();
    }
    await Promise.all(ended);
    expect(system.refused).toBe(1);
    expect(all.map(({ told }) => told)).toEqual(all.map((_, i) => `${i}.second`));
    expect(all.filter(({ ours }) => ours.writableLength !== 0)).toHaveLength(0);
  });

  test("whoever is told what came is not told more within, also when the system refuses what he asks for", async () => {
    const all = await pairs(1100);
    const [first] = all;
    let within = 0;
    const nested: number[] = [];
    first!.onGot = () => {
      within++;
      nested.push(within);
      if (first!.got.length === 65_536) {
        refuse((nth) => nth === 1);
        for (const { ours } of all) ours.write("x", "latin1");
      }
      within--;
    };
    const came = new Promise<void>((resolve) => {
      first!.peer.write("y".repeat(400_000), () => resolve());
    });
    await came;
    first!.ours.resume();
    await expect.poll(() => first!.got.length).toBe(400_000);
    await expect.poll(() => all.filter(({ told }) => told === "x").length).toBe(all.length);
    expect(system.refused).toBe(1);
    expect(Math.max(...nested)).toBe(1);
  });
});
