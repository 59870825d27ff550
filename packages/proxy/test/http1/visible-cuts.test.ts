import { describe, expect, test } from "vitest";
import { Origin } from "../support/origin.ts";
import { gate, startProxy } from "../support/proxy.ts";

const OLD = "GET / HTTP/1.0\r\nHost: test\r\n\r\n";
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const LARGE = 32 * 1024 * 1024;

/** A response whose end is told by the end of the connection must not be ended by anything else (RFC 9112, section 8). */
describe("a client of HTTP/1.0 that got half a response", () => {
  test("sees a reset when the server stops", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(CHUNKED, "5\r\nhello\r\n");
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(OLD);
    expect(await client.upTo("hello")).toContain("200 OK");
    await proxy.service.stop(AbortSignal.abort());
    await client.whenEnded();
    expect([client.error?.code, client.ended]).toEqual(["ECONNRESET", false]);
    expect(proxy.finished[0]!.session.outcome.how).toBe("cut");
  });

  test("sees a reset when it took its bytes too slowly, whether or not we had all of them", async () => {
    for (const complete of [false, true]) {
      await using origin = await Origin.start(async (connection) => {
        await connection.message();
        connection.send(
          "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
          Buffer.alloc(complete ? 8 * 1024 * 1024 : LARGE, "x"),
        );
        if (complete) connection.end();
      });
      await using proxy = await startProxy({ origin }, { http1: { writeMs: 100, lingerMs: 100 } });
      const client = await proxy.connect();
      client.pause();
      client.send(OLD);
      // Its end is not seen by a client that does not read.
      while (proxy.service.connectionCount === 0) await new Promise((resolve) => setImmediate(resolve));
      while (proxy.service.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
      client.resume();
      await client.whenEnded();
      expect(client.ended, `complete: ${complete}`).toBe(false);
      expect(client.receivedBytes).toBeLessThan(8 * 1024 * 1024);
    }
  });

  test.for(["upstreamResponseBodyFilter", "responseBodyFilter"])("sees a reset when %s throws", async (hook) => {
    const { opened, open } = gate();
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send("HTTP/1.1 200 OK\r\n\r\nfirst");
      await opened;
      connection.send("second");
    });
    await using proxy = await startProxy({
      origin,
      [hook](_session: unknown, piece: Uint8Array | undefined) {
        if (piece !== undefined && Buffer.from(piece).includes("second")) throw new Error("boom");
      },
    });
    const client = await proxy.send(OLD);
    await client.upTo("first");
    open();
    expect((await client.rest()).toString()).toBe("");
    expect(client.error?.code).toBe("ECONNRESET");
    await origin.connections[0]!.whenEnded();
  });
});

test("a head that is cut because the server stops is not the client's fault", async () => {
  await using proxy = await startProxy({});
  const client = await proxy.send("GET / HT");
  // What another client is answered, it is answered after that was read.
  const other = await proxy.send("x / HTTP/9.9\r\n\r\n");
  await other.upTo("505");
  await proxy.service.stop(AbortSignal.abort());
  await client.whenEnded();
  const { session, error } = proxy.finished.at(-1)!;
  expect(error?.detail).toBe("server-stop");
  expect(session.outcome.how).not.toBe("client-left");
});
