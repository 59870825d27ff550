import { type ProxyHttp, type Session } from "@sluice/proxy";
import { afterEach, describe, expect, test, vi } from "vitest";
import { startProxy } from "../support/proxy.ts";
import { recordingOrigin, until } from "../support/request-bodies.ts";

afterEach(() => {
  vi.useRealTimers();
});

describe("a client that waits for 100 Continue", () => {
  const HEAD = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

  test("is not told so when its body has come already", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 10 })),
    });
    const client = await proxy.send(HEAD, "hello");
    expect((await client.message()).status).toBe(200);
    expect(seen[0]![0]!.field("expect")).toBeUndefined();
  });

  test("with HTTP/1.0 gets no interim head", async () => {
    const { origin } = await recordingOrigin();
    await using _origin = origin;
    let session: Session | undefined;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (given) => void (await (session = given).readRequestBody({ maxBytes: 10 })),
    });
    const client = await proxy.send(HEAD.replace("1.1", "1.0"));
    await until(() => session?.downstream.events !== undefined);
    client.send("hello");
    expect((await client.message()).status).toBe(200);
  });
});

describe("a client that does not send its body", () => {
  const app: Partial<ProxyHttp<object>> = {
    requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 10, timeoutMs: 90_000 })),
  };

  test("but something else is answered with 400", async () => {
    await using proxy = await startProxy(app);
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd");
    expect((await client.message()).status).toBe(400);
    expect((await proxy.whenFinished()).error?.type).toBe("InvalidChunk");
  });
});

test("no limit of time is one that never comes", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const sessions: Session[] = [];
  await using proxy = await startProxy(
    {
      async requestFilter(session) {
        sessions.push(session);
        await session.readRequestBody({
          maxBytes: 10,
          timeoutMs: sessions.length === 1 ? 0 : Number.POSITIVE_INFINITY,
        });
        return session.respond(204);
      },
    },
    { http1: { bodyMs: 0 } },
  );
  for (let count = 1; count <= 2; count++) {
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nh");
    await until(() => sessions[count - 1]?.downstream.requestBodyBytes === 1);
    await vi.advanceTimersByTimeAsync(1_000_000_000);
    client.send("i");
    expect((await client.message()).status).toBe(204);
  }
});
