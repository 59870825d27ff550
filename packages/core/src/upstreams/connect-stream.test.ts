import { Duplex } from "node:stream";
import { ProxyError } from "@sluice/error";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { ByteStream } from "../net/byte-stream.ts";
import { streamPair, turn } from "../testing/index.ts";
import { openStream, type ConnectStream } from "./connect-stream.ts";
import { HttpPeer, type PeerOptions } from "./http-peer.ts";

afterEach(() => void vi.useRealTimers());

/** What connecting by `connectStream` gives. */
function open(connectStream: ConnectStream, options: PeerOptions = {}, signal?: AbortSignal): Promise<ByteStream> {
  return openStream(new HttpPeer("10.0.0.1:80", { ...options, connectStream }), connectStream, signal);
}

/** A function whose promise is left to the test. */
function pending(): PromiseWithResolvers<ByteStream> & { connectStream: ConnectStream; signal: () => AbortSignal } {
  const made = Promise.withResolvers<ByteStream>();
  let given: AbortSignal | undefined;
  return {
    ...made,
    connectStream: (_peer, signal) => {
      given = signal;
      return made.promise;
    },
    signal: () => given!,
  };
}

test("gives the stream, and is told the peer", async () => {
  const { local } = streamPair();
  const peers: HttpPeer[] = [];
  const stream = await open((peer, signal) => {
    peers.push(peer);
    expect(signal.aborted).toBe(false);
    return Promise.resolve(local);
  });
  expect(stream).toBe(local);
  expect(peers.map(String)).toEqual(["10.0.0.1:80"]);
});

describe("an error is one of the upstream", () => {
  const systemError = (code: string): Error => Object.assign(new Error(code), { code });

  test.for([
    [systemError("ECONNREFUSED"), "ConnectRefused", "upstream"],
    [systemError("ETIMEDOUT"), "ConnectTimedout", "upstream"],
    [new Error("no tunnel"), "ConnectError", "upstream"],
    ["no tunnel", "ConnectError", "upstream"],
    [undefined, "ConnectError", "upstream"],
    [new ProxyError("ConnectProxyFailure"), "ConnectProxyFailure", "upstream"],
    [ProxyError.internal("NoPeer"), "NoPeer", "internal"],
    [systemError("EMFILE"), "SocketError", "internal"],
  ] as const)("%s: %s, source %s", async ([thrown, type, source]) => {
    const throwing: ConnectStream = () => {
      throw thrown;
    };
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- Anything can be thrown.
    for (const connectStream of [throwing, () => Promise.reject(thrown)]) {
      const error = await open(connectStream).then(
        () => undefined,
        (failure: unknown) => failure,
      );
      expect(error).toBeInstanceOf(ProxyError);
      expect(error).toMatchObject({ type, source, retry: false });
      if (thrown !== undefined) expect((error as ProxyError).rootCause()).toBe(thrown);
    }
  });

  test("a stream that is closed already", async () => {
    const { local } = streamPair();
    local.destroy();
    await expect(open(() => Promise.resolve(local))).rejects.toMatchObject({
      type: "ConnectError",
      source: "upstream",
      context: "connectStream of 10.0.0.1:80 gave a stream that is already closed",
    });
  });
});

test.for([
  [undefined, "it gave undefined"],
  [null, "it gave null"],
  ["stream", "it gave string"],
  [{ write: () => true }, "it gave an object without end()"],
])("what is no stream is our own fault: %j", async ([given, why]) => {
  await expect(open(() => Promise.resolve(given as never))).rejects.toMatchObject({
    type: "InternalError",
    source: "internal",
    context: expect.stringContaining(why as string) as string,
  });
});

test.for([
  ["in object mode", new Duplex({ objectMode: true })],
  ["in object mode", new Duplex({ readableObjectMode: true })],
  ["in object mode", new Duplex({ writableObjectMode: true })],
  ["that gives strings: its encoding is set to utf8", new Duplex({ encoding: "utf8" })],
] as const)("a stream of something else than bytes is our own fault, and is closed: one %s", async ([what, stream]) => {
  await expect(open(() => Promise.resolve(stream as ByteStream))).rejects.toMatchObject({
    type: "InternalError",
    source: "internal",
    context: `connectStream of 10.0.0.1:80 must give a stream of bytes; it gave one ${what}`,
  });
  expect(stream.destroyed).toBe(true);
});

test("what is no stream is not closed by methods that are none", async () => {
  const odd = { write: 1, on: 5, destroy: "now" };
  await expect(open(() => Promise.resolve(odd as never))).rejects.toMatchObject({ type: "InternalError" });
});

test.for([
  [{}, 5000],
  [{ connectMs: 250 }, 250],
])(
  "with %j it may take %i ms; then its signal aborts, and a stream that still comes is closed",
  async ([options, ms]) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { connectStream, resolve, signal } = pending();
    const attempt = open(connectStream, options as PeerOptions);
    vi.advanceTimersByTime((ms as number) - 1);
    expect(signal().aborted).toBe(false);
    vi.advanceTimersByTime(1);
    await expect(attempt).rejects.toMatchObject({
      type: "ConnectTimedout",
      source: "upstream",
      context: `connectStream of 10.0.0.1:80 took longer than ${ms as number} ms`,
    });
    expect(signal().reason).toMatchObject({ type: "ConnectTimedout" });
    const { local } = streamPair();
    resolve(local);
    await turn();
    expect(local.destroyed).toBe(true);
  },
);

test("connectMs 0 sets no timer, and none is left after a stream or an error", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const unlimited = pending();
  const attempt = open(unlimited.connectStream, { connectMs: 0 });
  expect(vi.getTimerCount()).toBe(0);
  unlimited.resolve(streamPair().local);
  await attempt;
  await open(() => Promise.resolve(streamPair().local));
  await expect(open(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(vi.getTimerCount()).toBe(0);
});

describe("a signal", () => {
  test("that aborted before: the function is not called", async () => {
    const reason = new Error("no longer wanted");
    const { connectStream, signal } = pending();
    await expect(open(connectStream, {}, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(signal()).toBeUndefined();
  });

  test("that aborts meanwhile ends the attempt with its reason, and what the function says then is nothing", async () => {
    const reason = new Error("no longer wanted");
    const client = new AbortController();
    const { connectStream, signal, reject } = pending();
    const attempt = open(connectStream, {}, client.signal);
    client.abort(reason);
    await expect(attempt).rejects.toBe(reason);
    expect(signal().reason).toBe(reason);
    reject(new Error("aborted"));
  });

  test("that aborts afterwards changes nothing", async () => {
    const client = new AbortController();
    const { connectStream, resolve, signal } = pending();
    const attempt = open(connectStream, {}, client.signal);
    resolve(streamPair().local);
    const stream = await attempt;
    client.abort();
    expect([stream.destroyed, signal().aborted]).toEqual([false, false]);
  });
});
