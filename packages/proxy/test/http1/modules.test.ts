import { type HttpModule, type HttpModuleBuilder, type HttpModules, type HttpModuleType } from "@sluice/core";
import { describe, expect, test } from "vitest";
import { Origin } from "../support/origin.ts";
import { get, startProxy, type TestApp } from "../support/proxy.ts";

const text = (piece: Uint8Array | undefined): string => (piece === undefined ? "-" : Buffer.from(piece).toString());
const upper = (piece: Uint8Array | undefined): Uint8Array | undefined =>
  piece && Buffer.from(text(piece).toUpperCase());

/** A builder of a class that has the hooks of `module`, which is shared by all requests. */
function shared(module: HttpModule, order = 0): HttpModuleBuilder {
  class Shared {
    readonly hooks: object = Object.assign(this, module);
  }
  return { type: Shared as HttpModuleType, order, init: () => new Shared() as HttpModule };
}

/** An app whose requests have these modules on the client's side. */
function withModules(...builders: HttpModuleBuilder[]): TestApp<object> {
  return {
    initDownstreamModules(modules: HttpModules) {
      for (const builder of builders) modules.add(builder);
    },
  };
}

describe("response hooks", () => {
  test("see the bytes of a tunnel, both ways, and its ends", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
      connection.send((await connection.rest()).toString()).end();
    });
    const module: HttpModule = {
      requestBody: async (piece, end) => (end ? Buffer.from("") : upper(piece)),
      responseBody: async (piece, end) => (end ? Buffer.from("]") : Buffer.from(`[${text(piece)}`)),
    };
    await using proxy = await startProxy({ origin, ...withModules(shared(module)) });
    const client = await proxy.send(get("/", "Connection: upgrade\r\nUpgrade: echo\r\n"));
    await client.upTo("\r\n\r\n");
    client.send("ping").end();
    expect((await client.rest()).toString()).toBe("[PING]");
    expect((await proxy.whenFinished()).error).toBeUndefined();
  });
});
