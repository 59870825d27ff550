import { afterEach, expect, test, vi } from "vitest";
import { patternBytes } from "./support/message.ts";
import { OK, Origin } from "./support/origin.ts";
import { get, startProxy } from "./support/proxy.ts";

afterEach(() => void vi.useRealTimers());

const LONG = patternBytes(100_000);

test.each<[string, (string | Uint8Array)[]]>([
  ["is not idempotent", ["POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi"]],
  ["is not idempotent and has no body", ["POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"]],
  ["is too long to be kept", [`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${LONG.length}\r\n\r\n`, LONG]],
])("a request that %s is not lost on an idle connection whose end has arrived behind it", async (_, request) => {
  vi.useFakeTimers({ toFake: ["performance"] });
  await using origin = await Origin.start(async (connection) => {
    for (;;) {
      await connection.message();
      connection.send(OK);
    }
  });
  await using proxy = await startProxy({ origin });
  const client = await proxy.connect();
  client.send(get("/first"));
  await client.message();
  await proxy.whenFinished(1);
  vi.advanceTimersByTime(100);

  const idle = await origin.connection(0);
  const before = idle.receivedBytes;
  // The proxy reads the sockets in this order.
  client.send(...request);
  idle.end();

  expect((await client.message()).status).toBe(200);
  const { session } = await proxy.whenFinished(2);
  expect(session).toMatchObject({ tries: 1, upstreamReused: false });
  await idle.whenEnded();
  expect(idle.receivedBytes).toBe(before);
});
