import { describe, expect, test } from "vitest";
import { Origin } from "./support/origin.ts";
import { gate, get, startProxy, type TestApp } from "./support/proxy.ts";

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

const BYTES = 300_000;

/** Ways to fail at the end of a body, when all of its bytes have come. */
const FAILING: Record<string, TestApp<object>> = {
  "responseBodyFilter throws": {
    responseBodyFilter(_session, _piece, end) {
      if (end) throw new Error("the sum is wrong");
    },
  },
  "responseBodyFilter throws after a delay of the filter before it": {
    upstreamResponseBodyFilter: (_session, _piece, end) => (end ? { delayMs: 1 } : undefined),
    responseBodyFilter(_session, _piece, end) {
      if (end) throw new Error("the sum is wrong");
    },
  },
  "a module rejects": {
    initDownstreamModules(modules) {
      class Sum {
        async responseBody(_piece: Uint8Array | undefined, end: boolean): Promise<void> {
          if (end) throw new Error("the sum is wrong");
        }
      }
      modules.add({ type: Sum, init: () => new Sum() });
    },
  },
};

describe.for(Object.entries(FAILING))("%s at the end of a response with Content-Length", ([, app]) => {
  test.for([1, 5, BYTES])("of %i bytes: the client does not get the last of them", async (bytes) => {
    const rest = gate();
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`, Buffer.alloc(bytes - 1, "x"));
      await rest.opened;
      connection.send("x");
    });
    await using proxy = await startProxy({ origin, ...app });
    const client = await proxy.send(get());
    if (bytes > 1) await client.upTo("x".repeat(Math.min(bytes - 1, 1000)));
    rest.open();
    const { error, session } = await proxy.whenFinished();
    await client.whenEnded();
    expect([error?.source, session.outcome.how]).toEqual(["internal", "cut"]);
    expect(session.responseBodyBytes).toBe(bytes);
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n`;
    expect(client.receivedBytes).toBe(head.length + bytes - 1);
  });
});

test("a body with Content-Length that a filter lets pass arrives whole, its last byte too", async () => {
  await using origin = await Origin.start(async (connection) => {
    for (;;) {
      await connection.message();
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BYTES}\r\n\r\n`, Buffer.alloc(BYTES - 1, "x"), "y");
    }
  });
  await using proxy = await startProxy({ origin, responseBodyFilter: () => undefined });
  const client = await proxy.connect();
  for (let time = 0; time < 3; time++) {
    client.send(get());
    const { body } = await client.message();
    expect([body.length, body.at(-1)]).toEqual([BYTES, 0x79]);
  }
});
