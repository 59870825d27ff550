import { expect, test, vi } from "vitest";
import { turn } from "../testing/index.ts";
import { writeLater, writeOverdue } from "./late-writes.ts";
import { SocketReader } from "./socket-reader.ts";

const writes = (name: string, into: string[]): { writeLate: () => void } => ({ writeLate: () => void into.push(name) });

test("all write behind what else comes in the turn, in the order in which they asked", async () => {
  const done: string[] = [];
  writeLater(writes("a", done));
  writeLater(writes("b", done));
  await Promise.resolve();
  done.push("event");
  await turn();
  expect(done).toEqual(["event", "a", "b"]);
});

test("who asks while others write, writes in the next turn", async () => {
  const done: string[] = [];
  writeLater({ writeLate: () => writeLater(writes("next", done)) });
  await turn();
  expect(done).toEqual([]);
  await turn();
  expect(done).toEqual(["next"]);
});

test("in a turn that takes long they write before the first event that begins half a millisecond later", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    const done: string[] = [];
    writeLater(writes("a", done));
    vi.advanceTimersByTime(0.25);
    writeLater(writes("b", done));
    writeOverdue();
    expect(done).toEqual([]);
    vi.advanceTimersByTime(0.25);
    writeOverdue();
    expect(done).toEqual(["a", "b"]);
    // The time of those that ask now begins now.
    writeLater(writes("c", done));
    writeOverdue();
    expect(done).toEqual(["a", "b"]);
    await turn();
    expect(done).toEqual(["a", "b", "c"]);
  } finally {
    vi.useRealTimers();
  }
});

test("what was to be written in a read that took long leaves before the next is handled", () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    const done: string[] = [];
    // The clock takes 0 for a time that was not read yet.
    vi.advanceTimersByTime(1);
    const reader = new SocketReader(false);
    const { buffer, callback } = reader.onread;
    buffer();
    let reads = 0;
    reader.start({
      onData() {
        done.push(`read ${++reads}`);
        if (reads === 1) writeLater(writes("a", done));
        vi.advanceTimersByTime(10);
      },
    });
    callback(1);
    callback(1);
    expect(done).toEqual(["read 1", "a", "read 2"]);
  } finally {
    vi.useRealTimers();
  }
});

test("who is about to be told what was read writes behind that", () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    const done: string[] = [];
    vi.advanceTimersByTime(1);
    const reader = new SocketReader(false);
    const { buffer, callback } = reader.onread;
    buffer();
    const receiver = { onData: () => void done.push("read"), ...writes("own", done) };
    reader.start(receiver);
    writeLater(writes("a", done));
    writeLater(receiver);
    writeLater(writes("b", done));
    vi.advanceTimersByTime(1);
    callback(1);
    expect(done).toEqual(["a", "b", "read"]);
    vi.advanceTimersByTime(1);
    writeOverdue();
    expect(done).toEqual(["a", "b", "read", "own"]);
  } finally {
    vi.useRealTimers();
  }
});

test("one that throws takes nothing from the others", async () => {
  const done: string[] = [];
  const uncaught = vi.fn<(error: unknown) => void>();
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.once("uncaughtException", uncaught);
  try {
    writeLater({
      writeLate() {
        throw new Error("broken");
      },
    });
    writeLater(writes("b", done));
    await turn();
    await turn();
    expect(done).toEqual(["b"]);
    expect(uncaught).toHaveBeenCalledOnce();
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const listener of others) process.on("uncaughtException", listener);
  }
});
