import { describe, expect, test } from "vitest";
import type { ByteStream } from "../net/byte-stream.ts";
import { record } from "./recording.ts";
import { streamPair, turn } from "./stream-pair.ts";

describe("bytes", () => {
  test("arrive as they were written, in both directions", async () => {
    const pair = streamPair();
    const atLocal = record(pair.local);
    const atRemote = record(pair.remote);
    pair.remote.write("abc", "latin1");
    pair.remote.write(Buffer.from([0xff, 0]));
    pair.local.write("xyz", "latin1");
    await pair.flush();
    expect(atLocal.pieces).toEqual(["abc", "\u00ff\0"]);
    expect(atRemote.pieces).toEqual(["xyz"]);
  });

  test("are cut into pieces of a size", async () => {
    const pair = streamPair({ toLocal: { pieceBytes: 2 } });
    const atLocal = record(pair.local);
    pair.remote.write("abcde", "latin1");
    await pair.flush();
    expect(atLocal.pieces).toEqual(["ab", "cd", "e"]);
  });

  test("are cut at given positions, counted over all writes", async () => {
    const pair = streamPair({ toLocal: { cuts: [1, 4] } });
    const atLocal = record(pair.local);
    pair.remote.write("abc", "latin1");
    pair.remote.write("defg", "latin1");
    await pair.flush();
    expect(atLocal.pieces).toEqual(["a", "bc", "d", "efg"]);
  });

  test("move only when told to, one piece a step", () => {
    const pair = streamPair({ manual: true, toLocal: { pieceBytes: 1 } });
    const atLocal = record(pair.local);
    pair.remote.write("ab", "latin1");
    expect(atLocal.text).toBe("");
    // The first step comes before the reader flows: the piece waits in its buffer.
    expect(pair.step()).toBe(true);
    expect(pair.step()).toBe(true);
    expect(pair.step()).toBe(false);
  });

  test("that were corked leave as one write", async () => {
    const pair = streamPair();
    const atRemote = record(pair.remote);
    pair.local.cork();
    pair.local.write("a", "latin1");
    pair.local.write(Buffer.from("b"));
    pair.local.uncork();
    await pair.flush();
    expect(atRemote.pieces).toEqual(["ab"]);
    expect(pair.local.writes).toHaveLength(1);
  });

  test("satisfy the interface that the sessions use", () => {
    const { local } = streamPair({ addresses: { remoteAddress: "192.0.2.1", remotePort: 7 } });
    const stream: ByteStream = local;
    expect(stream.remoteAddress).toBe("192.0.2.1");
    expect(stream.remotePort).toBe(7);
    expect(stream.localPort).toBeUndefined();
    expect(stream.destroyed).toBe(false);
  });
});

describe("back-pressure", () => {
  test("a reader that pauses fills the window, then write says false, and drain follows when it reads", async () => {
    const pair = streamPair({ toRemote: { windowBytes: 4 }, highWaterMark: 4 });
    const atLocal = record(pair.local);
    const atRemote = record(pair.remote);
    await pair.flush();
    pair.remote.pause();
    // 4 in the reader's buffer, 4 on the way, the rest at the writer.
    expect(pair.local.write("0123", "latin1")).toBe(true);
    expect(pair.local.write("45678", "latin1")).toBe(false);
    await pair.flush();
    expect(pair.local.writableLength).toBeGreaterThan(0);
    expect(atRemote.text).toBe("");
    pair.remote.resume();
    await pair.flush();
    expect(atRemote.text).toBe("012345678");
    expect(atLocal.events).toEqual(["drain"]);
    expect(pair.local.writableLength).toBe(0);
  });

  test("no data comes after pause, and all of it after resume", async () => {
    const pair = streamPair({ toLocal: { pieceBytes: 1 } });
    const atLocal = record(pair.local);
    pair.local.once("data", () => pair.local.pause());
    pair.remote.write("abc", "latin1");
    await pair.flush();
    expect(atLocal.text).toBe("a");
    pair.local.resume();
    await pair.flush();
    expect(atLocal.text).toBe("abc");
  });
});

describe("ends", () => {
  test("one direction ends after its bytes were read; the other goes on", async () => {
    const pair = streamPair();
    const atLocal = record(pair.local);
    const atRemote = record(pair.remote);
    pair.local.pause();
    pair.remote.write("last", "latin1");
    pair.remote.end();
    await pair.flush();
    expect(atLocal.events).toEqual([]);
    pair.local.resume();
    await pair.flush();
    expect(atLocal.events).toEqual(["data", "end"]);
    pair.local.write("still", "latin1");
    await pair.flush();
    expect(atRemote.text).toBe("still");
    expect(pair.local.destroyed).toBe(false);
    pair.local.end();
    await pair.flush();
    expect(atLocal.events).toEqual(["data", "end", "close"]);
    expect(atRemote.events).toEqual(["data", "end", "close"]);
  });

  test("an end without bytes is told even to a paused reader, as by a socket", async () => {
    const pair = streamPair();
    const atLocal = record(pair.local);
    pair.local.pause();
    pair.remote.end();
    await pair.flush();
    expect(atLocal.events).toEqual(["end"]);
  });

  test("destroy lets what is on the way arrive, and then an end", async () => {
    const pair = streamPair({ manual: true });
    const atLocal = record(pair.local);
    const atRemote = record(pair.remote);
    pair.remote.write("sent", "latin1");
    pair.remote.destroy();
    await pair.flush();
    expect(atRemote.events).toEqual(["close"]);
    expect(atLocal.text).toBe("sent");
    expect(atLocal.events).toEqual(["data", "end"]);
  });

  test("destroy loses what found no room", async () => {
    const pair = streamPair({ toLocal: { windowBytes: 2 }, manual: true });
    const atLocal = record(pair.local);
    pair.remote.write("abcd", "latin1");
    pair.remote.destroy();
    await pair.flush();
    expect(atLocal.text).toBe("ab");
    expect(atLocal.ended).toBe(true);
  });

  test("destroy with unread bytes resets the other end", async () => {
    const pair = streamPair();
    const atRemote = record(pair.remote);
    pair.local.pause();
    pair.remote.write("unread", "latin1");
    await pair.flush();
    pair.local.destroy();
    await pair.flush();
    expect(atRemote.error?.code).toBe("ECONNRESET");
    expect(atRemote.events).toEqual(["error", "close"]);
  });

  test("a write to an end that is gone breaks the writer", async () => {
    const pair = streamPair();
    const atLocal = record(pair.local);
    pair.remote.destroy();
    await pair.flush();
    pair.local.write("into the void", "latin1");
    await pair.flush();
    expect(atLocal.error?.code).toBe("ECONNRESET");
    expect(atLocal.events.at(-1)).toBe("close");
  });

  test("a write after the end is an error, as on a socket", async () => {
    const pair = streamPair();
    const atLocal = record(pair.local);
    pair.local.end();
    pair.local.write("late", "latin1");
    await pair.flush();
    expect(atLocal.error?.code).toBe("ERR_STREAM_WRITE_AFTER_END");
  });
});

describe("breaks", () => {
  test("resetAndDestroy gives the other end ECONNRESET and then close", async () => {
    const pair = streamPair();
    const atLocal = record(pair.local);
    const atRemote = record(pair.remote);
    pair.remote.write("seen", "latin1");
    await pair.flush();
    pair.remote.resetAndDestroy();
    await pair.flush();
    expect(atLocal.text).toBe("seen");
    expect(atLocal.error?.code).toBe("ECONNRESET");
    expect(atLocal.events).toEqual(["data", "error", "close"]);
    expect(pair.local.destroyed).toBe(true);
    expect(atRemote.events).toEqual(["close"]);
  });

  test("a reset overtakes what was on the way", async () => {
    const pair = streamPair({ manual: true });
    const atLocal = record(pair.local);
    pair.remote.write("lost", "latin1");
    pair.remote.resetAndDestroy();
    await pair.flush();
    expect(atLocal.text).toBe("");
    expect(atLocal.error?.code).toBe("ECONNRESET");
  });

  test.for([0, 1, 5])("the connection breaks after %i bytes", async (bytes) => {
    const pair = streamPair({ toLocal: { failAfterBytes: bytes } });
    const atLocal = record(pair.local);
    const atRemote = record(pair.remote);
    pair.remote.write("abc", "latin1");
    pair.remote.write("defg", "latin1");
    await pair.flush();
    expect(atLocal.text).toBe("abcdefg".slice(0, bytes));
    expect(atLocal.error?.code).toBe("ECONNRESET");
    expect(atRemote.error?.code).toBe("EPIPE");
    expect(atLocal.closed && atRemote.closed).toBe(true);
  });
});

test("a turn lets ticks and microtasks run first", async () => {
  const order: string[] = [];
  process.nextTick(() => order.push("tick"));
  queueMicrotask(() => order.push("microtask"));
  await turn();
  expect(order).toHaveLength(2);
});
