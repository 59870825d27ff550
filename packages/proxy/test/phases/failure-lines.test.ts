import { ProxyError } from "@sluice/error";
import { HttpPeer } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

const INFO = 30;
const ERROR = 50;
const ADDRESS = /^127\.0\.0\.1:\d+$/;

const address = expect.stringMatching(ADDRESS) as string;

overLegs(({ startOrigin, answering, startProxy }) => {
  describe("what a client did is a line at level info", () => {
    test.for([
      ["closing", (client: { close(): unknown }): unknown => client.close()],
      ["a reset", (client: { reset(): unknown }): unknown => client.reset()],
    ] as const)("leaving by %s, with its address and what it waited for", async ([, leave]) => {
      await using origin = await startOrigin((connection) => connection.message());
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await (await origin.connection()).upTo("\r\n\r\n");
      leave(client);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([
        {
          level: INFO,
          msg: "request failed",
          status: 499,
          client: address,
          duration_ms: expect.any(Number) as number,
          hint: "the client left before the upstream had answered: is the upstream slow?",
        },
      ]);
    });

    test("leaving while a hook waits, with the name of the hook", async () => {
      const inside = gate();
      await using proxy = await startProxy({
        requestFilter: () => {
          inside.open();
          return new Promise(() => undefined);
        },
      });
      const client = await proxy.send(get());
      await inside.opened;
      client.close();
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([
        {
          level: INFO,
          phase: "requestFilter",
          client: address,
          hint: "the client left while requestFilter was under way: what does that wait for?",
        },
      ]);
    });

    test("a request that cannot be served", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin });
      const client = await proxy.send("GET / HTTP/1.1\r\nHost: test\r\nExpect: tea\r\n\r\n");
      expect((await client.message()).status).toBe(417);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([{ level: INFO, status: 417, client: address }]);
    });

    test("a request that a hook denies", async () => {
      await using proxy = await startProxy({
        requestFilter() {
          throw ProxyError.httpStatus(403, "rule 7");
        },
      });
      expect((await (await proxy.send(get())).message()).status).toBe(403);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([{ level: INFO, status: 403, proxy_status: "http_request_denied" }]);
    });
  });

  describe("what is no client's doing is a line at level error", () => {
    test("an upstream that breaks off, with the address of the client that is cut for it", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        connection.end();
      });
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await client.rest();
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([{ level: ERROR, status: 200, cut: true, client: address }]);
    });

    test.for([
      ["a status from 500 that a hook gives", () => ProxyError.httpStatus(503, "sorry"), 503],
      [
        "a status of 4xx that a hook makes of an upstream's failure",
        () => ProxyError.httpStatus(404, "sorry", ProxyError.upstream("ConnectRefused", "it is gone")),
        404,
      ],
      ["a defect of a hook", () => new Error("boom"), 500],
      ["a defect that names a status", () => ProxyError.internal("HTTPStatus", "boom"), 500],
    ] as const)("%s", async ([, thrown, status]) => {
      await using proxy = await startProxy({
        requestFilter() {
          throw thrown();
        },
      });
      expect((await (await proxy.send(get())).message()).status).toBe(status);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([{ level: ERROR, status }]);
    });

    test("an upstream that refuses", async () => {
      await using proxy = await startProxy({ upstreamPeer: () => new HttpPeer("127.0.0.1:1") });
      expect((await (await proxy.send(get())).message()).status).toBe(502);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([{ level: ERROR, status: 502, client: address }]);
    });
  });
});
