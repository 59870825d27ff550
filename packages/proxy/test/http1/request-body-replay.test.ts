import { describe, expect, test } from "vitest";
import { patternBytes } from "../support/message.ts";
import { Origin } from "../support/origin.ts";
import { startProxy } from "../support/proxy.ts";
import { post } from "../support/request-bodies.ts";

describe("what was read", () => {
  test("comes before what the client says on another protocol, also if that is agreed on early", async () => {
    const size = 32 << 20;
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.pause().send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    });
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: size })),
    });
    const body = patternBytes(size);
    const client = await proxy.send(post(body, "content-length", "Connection: upgrade\r\nUpgrade: echo\r\n"));
    expect((await client.message()).status).toBe(101);
    client.send("ping!").end();
    const connection = origin.connections[0]!.resume();
    expect((await connection.bytes(size)).equals(body)).toBe(true);
    expect((await connection.rest()).toString()).toBe("ping!");
    connection.send("pong!").end();
    expect((await client.rest()).toString()).toBe("pong!");
  });
});
