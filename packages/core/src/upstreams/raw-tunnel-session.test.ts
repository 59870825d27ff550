import { RequestHeader } from "@sluice/http";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { seeResponse, type SeenResponse } from "../../test/harness.ts";
import { tcpServer } from "../../test/net-harness.ts";
import { configureLogs } from "../log/logger.ts";
import { record, streamPair, turn, type StreamPairOptions } from "../testing/index.ts";
import { HttpConnector } from "./http-connector.ts";
import { HttpPeer } from "./http-peer.ts";
import { RawTunnelSession } from "./raw-tunnel-session.ts";

beforeEach(() => configureLogs({ levels: "silent" }));

const CONNECT = RequestHeader.build("CONNECT", "a.test:443", { Host: "a.test:443" });

function begun(options: StreamPairOptions = {}, writeMs = 0) {
  const pair = streamPair(options);
  const session = new RawTunnelSession(pair.local, "a.test:443", { writeMs });
  const got = record(pair.remote);
  const seen = seeResponse();
  const send = async (text: string): Promise<void> => {
    pair.remote.write(text, "latin1");
    await pair.flush();
  };
  return { pair, session, got, seen, send, open: () => session.writeRequest(CONNECT, "none", seen) };
}

async function opened(options: StreamPairOptions = {}, writeMs = 0): Promise<ReturnType<typeof begun>> {
  const tunnel = begun(options, writeMs);
  tunnel.open();
  await tunnel.pair.flush();
  return tunnel;
}

describe("a raw tunnel", () => {
  test("is granted by a head of our own, after the call that asks for it; nothing is sent", async () => {
    const { session, seen, got, pair, open } = begun();
    open();
    expect(seen.header).toBeUndefined();
    await pair.flush();
    expect([seen.header?.status, seen.header?.reason, seen.headerEnd]).toEqual([200, "Connection Established", false]);
    expect(seen.header!.size).toBe(0);
    expect(got.text).toBe("");
    expect([session.reused, session.receivedBytes]).toEqual([false, 0]);
  });

  test("passes bytes both ways, and each side ends its direction alone", async () => {
    const { session, seen, got, pair, send } = await opened();
    // The end of the CONNECT itself came before.
    expect(session.writeBody(Buffer.from("up"))).toBe(true);
    await send("down");
    session.finishRequest();
    await pair.flush();
    expect([got.text, got.ended, seen.body, seen.ended]).toEqual(["up", true, "down", false]);
    await send(", and more");
    pair.remote.end();
    await pair.flush();
    expect([seen.body, seen.ended, seen.error]).toEqual(["down, and more", true, undefined]);
    session.release();
    await turn();
    expect(pair.local.destroyed).toBe(true);
    expect(got.error).toBeUndefined();
    expect(session.receivedBytes).toBe(14);
  });

  test("the end of the request that asks for it is not its end", async () => {
    const { session, got, pair, open } = begun();
    open();
    session.finishRequest();
    session.flush();
    await pair.flush();
    expect(got.ended).toBe(false);
    session.finishRequest();
    await pair.flush();
    expect(got.ended).toBe(true);
  });

  test("what the upstream says before it is asked comes behind the head", async () => {
    const { seen, send, open, pair } = begun();
    await send("SSH-2.0-x\r\n");
    expect(seen.order).toEqual([]);
    open();
    await pair.flush();
    expect(seen.order).toEqual(["header", "data"]);
    expect(seen.body).toBe("SSH-2.0-x\r\n");
  });

  test("an upstream that speaks and ends before it is asked has spoken and ended", async () => {
    const { seen, pair, open } = begun();
    pair.remote.end("bye", "latin1");
    await pair.flush();
    open();
    await pair.flush();
    expect([seen.order, seen.body]).toEqual([["header", "data", "end"], "bye"]);
  });

  test("pause slows the upstream down, and its end waits", async () => {
    const { session, seen, pair, send } = await opened({ toLocal: { windowBytes: 1000 }, highWaterMark: 1000 });
    session.pause();
    await send("x".repeat(300_000));
    pair.remote.end();
    await pair.flush();
    expect(seen.body).toBe("");
    expect(pair.remote.writableLength).toBeGreaterThan(100_000);
    session.resume();
    await pair.flush();
    expect([seen.body.length, seen.ended]).toEqual([300_000, true]);
  });

  test("an upstream that takes slowly makes writeBody say false, and is waited for", async () => {
    const { session, seen, pair, got } = await opened({ toRemote: { windowBytes: 1000 }, highWaterMark: 1000 });
    pair.remote.pause();
    expect(session.writeBody(Buffer.alloc(100_000, "x"))).toBe(false);
    expect(session.holdsBytes).toBe(true);
    pair.remote.resume();
    await pair.flush();
    expect([seen.drains, got.text.length]).toEqual([1, 100_000]);
  });
});

describe("a raw tunnel that breaks", () => {
  test("by a reset is an error of the upstream, behind what it sent", async () => {
    const { seen, send, pair } = await opened();
    await send("some");
    pair.remote.resetAndDestroy();
    await pair.flush();
    expect(seen.order).toEqual(["header", "data", "error"]);
    expect(seen.error).toMatchObject({ type: "ReadError", source: "upstream", cause: { code: "ECONNRESET" } });
  });

  test("is told at once to whoever has paused it", async () => {
    const { session, seen, pair } = await opened();
    session.pause();
    pair.remote.resetAndDestroy();
    await pair.flush();
    expect(seen.error?.type).toBe("ReadError");
  });

  test("after the upstream has ended is an error, while the client may still send", async () => {
    const { seen, pair } = await opened();
    pair.remote.end();
    await pair.flush();
    expect(seen.ended).toBe(true);
    pair.local.destroy(Object.assign(new Error("write EPIPE"), { code: "EPIPE", syscall: "write" }));
    await pair.flush();
    expect(seen.error?.type).toBe("ReadError");
  });

  test("before it was asked for tells no head", async () => {
    const { seen, pair, open } = begun();
    pair.remote.resetAndDestroy();
    await pair.flush();
    open();
    await pair.flush();
    expect(seen.order).toEqual(["error"]);
  });

  test("because it was given up is reset: what was cut must not look ended", async () => {
    const { session, got, pair } = await opened();
    session.writeBody(Buffer.from("half"));
    session.destroy();
    await pair.flush();
    expect(got.error?.code).toBe("ECONNRESET");
  });

  test("no event follows that", async () => {
    const { session, seen, send, pair } = await opened();
    session.destroy();
    await send("late").catch(() => undefined);
    await pair.flush();
    expect(seen.order).toEqual(["header"]);
  });

  test("because the upstream takes nothing for writeMs", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const { session, seen, pair } = await opened({ toRemote: { windowBytes: 10 } }, 1000);
      pair.remote.pause();
      session.writeBody(Buffer.alloc(200_000));
      await vi.advanceTimersByTimeAsync(999);
      expect(seen.error).toBeUndefined();
      await vi.advanceTimersByTimeAsync(1);
      expect(seen.error).toMatchObject({ type: "WriteTimedout", source: "upstream" });
    } finally {
      vi.useRealTimers();
    }
  });
});

test("what was written last arrives after its end, however slowly it is taken", async () => {
  const { session, seen, got, pair } = await opened({ toRemote: { windowBytes: 10 }, highWaterMark: 10 });
  pair.remote.pause();
  pair.remote.end();
  session.writeBody(Buffer.alloc(1000, "x"));
  session.finishRequest();
  await pair.flush();
  expect(seen.ended).toBe(true);
  session.release();
  await pair.flush();
  pair.remote.resume();
  await pair.flush();
  expect([got.text.length, got.ended, got.error]).toEqual([1000, true, undefined]);
});

test("a request that is no CONNECT is an error of ours", async () => {
  const { session, seen, pair, got } = begun();
  session.writeRequest(RequestHeader.build("GET", "/"), "none", seen);
  await pair.flush();
  expect(seen.error).toMatchObject({ type: "InternalError", source: "internal" });
  expect(seen.error!.message).toContain("a peer with tunnel: true is for CONNECT; the request is a GET");
  expect(got.text).toBe("");
});

describe("a connector", () => {
  test("connects to a peer with tunnel: true without a word, and pools nothing", async () => {
    await using server = await tcpServer((socket) => void socket.end("hello"));
    const connector = new HttpConnector();
    const peer = new HttpPeer(server.address, { tunnel: true });
    const session = await connector.connect(peer);
    expect(session.digest.remoteAddress).toBe(server.address);
    const seen = await overOf(session, seeResponse());
    expect([seen.body, seen.ended]).toEqual(["hello", true]);
    session.finishRequest();
    session.release();
    expect(connector.reuse(peer)).toBeUndefined();
    expect(connector.pool.idleCountOf(peer.reuseKey)).toBe(0);
    expect(peer.reuseKey).not.toBe(new HttpPeer(server.address).reuseKey);
    connector.close();
  });

  test("takes the stream of connectStream as well", async () => {
    const pair = streamPair();
    const connector = new HttpConnector();
    const peer = new HttpPeer("a.test:443", { tunnel: true, connectStream: () => Promise.resolve(pair.local) });
    const session = await connector.connect(peer);
    pair.remote.end("hello", "latin1");
    const seen = await overOf(session, seeResponse());
    expect(seen.body).toBe("hello");
    session.finishRequest();
    session.release();
  });
});

/** Opens it and waits for the upstream's end. */
function overOf(
  session: { writeRequest: RawTunnelSession["writeRequest"] },
  seen: SeenResponse,
): Promise<SeenResponse> {
  return new Promise((resolve, reject) => {
    const { onResponseEnd } = seen;
    seen.onResponseEnd = (trailers) => {
      onResponseEnd(trailers);
      resolve(seen);
    };
    seen.onUpstreamError = reject;
    session.writeRequest(CONNECT, "none", seen);
  });
}
