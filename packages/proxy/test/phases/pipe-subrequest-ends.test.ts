import type { SubrequestSession } from "@sluice/core";
import { PipeSubrequestError, pipeSubrequest, SubrequestSpawner, type PipedSubrequest } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { ended, failing, piping, post, spawning } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ answering, startOrigin, startProxy }) => {
  describe("what fails", () => {
    test("an answer that is cut is cut for the client, too, and the error says whose fault it was", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").end();
      });
      const { app, failed } = failing(origin);
      await using proxy = await startProxy(app);
      const client = await proxy.send(get());
      expect((await client.rest()).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nhalf$/);
      const error = await failed;
      expect(error).toBeInstanceOf(PipeSubrequestError);
      expect(error).toMatchObject({
        type: "ConnectionClosed",
        source: "upstream",
        fromSubrequest: true,
        state: { headerReceived: true },
      });
      const { main, sub } = await ended(proxy);
      expect([main.error, sub.error?.type]).toEqual([error, "ConnectionClosed"]);
      expect(proxy.errors.map(({ request, cut }) => [request, cut])).toEqual([
        ["GET /sub, Host: test (subrequest)", true],
        ["GET /, Host: test", true],
      ]);
    });

    test.each(["none", "expect"] as const)(
      "a client that leaves ends the subrequest at once (body: %s)",
      async (body) => {
        const left = gate();
        await using origin = await startOrigin(async (connection) => {
          await connection.upTo("\r\n\r\n");
          connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
          await connection.whenEnded();
          left.open();
        });
        const { app, failed } = failing(origin, body);
        await using proxy = await startProxy(app);
        const [head] = post("0123456789");
        const client = await proxy.send(body === "none" ? get() : `${head}01234`);
        await client.upTo("half");
        client.close();
        await left.opened;
        expect(await failed).toMatchObject({
          source: "downstream",
          fromSubrequest: false,
          state: { headerReceived: true },
        });
        const { main, sub } = await ended(proxy);
        expect(main.error).toMatchObject({ source: "downstream" });
        expect(sub.error).toMatchObject({ type: "WriteError", source: "downstream" });
        expect(sub.error!.message).toMatch("the client of the parent request is gone");
      },
    );

    test("a client that leaves while nothing is there yet ends it, too", async () => {
      const asked = gate();
      const left = gate();
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        asked.open();
        await connection.whenEnded();
        left.open();
      });
      const { app, failed } = failing(origin);
      await using proxy = await startProxy(app);
      const client = await proxy.send(get());
      await asked.opened;
      client.reset();
      await left.opened;
      expect((await failed).state).toEqual({ savedBody: undefined, headerReceived: false });
      await ended(proxy);
    });

    test("a body that the client breaks off never looks whole to the origin", async () => {
      const got = gate();
      let rest = "";
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\n");
        rest = (await connection.rest()).toString();
        got.open();
      });
      const { app } = failing(origin, "expect");
      await using proxy = await startProxy(app);
      const client = await proxy.send(
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      );
      await origin.connection();
      client.close();
      await got.opened;
      expect(rest.endsWith("0\r\n\r\n")).toBe(false);
      await ended(proxy);
    });

    test("a subrequest that gives no answer at all is none, and the request goes on", async () => {
      await using origin = await answering(OK);
      const host = {
        subrequestLimits: { maxDepth: 1, maxPerRequest: 1 },
        background: undefined as never,
        handleSubrequest: (_session: SubrequestSession): Promise<void> => Promise.resolve(),
      };
      let result: PipedSubrequest | undefined;
      await using proxy = await startProxy({
        origin,
        async requestFilter(session) {
          result = await pipeSubrequest(session, new SubrequestSpawner(host, session).create());
          return result.responded;
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
      expect(result).toMatchObject({ headerReceived: false, responded: undefined });
    });

    test("may be answered for by the hook, as long as nothing went down", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy(
        spawning(origin, async (session) => {
          const filter = (): never => {
            throw new Error("not this one");
          };
          try {
            return (await pipeSubrequest(session, session.subrequests!.create(), { filter })).responded;
          } catch {
            return session.respond(503);
          }
        }),
      );
      const client = await proxy.send(get(), get());
      expect([(await client.message()).status, (await client.message()).status]).toEqual([503, 503]);
    });

    test("that nobody awaits does not end the process", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy(
        spawning(origin, (session) => {
          const filter = (): never => {
            throw new Error("unheard");
          };
          void pipeSubrequest(session, session.subrequests!.create(), { filter });
        }),
      );
      const client = await proxy.send(get());
      // The hook is through without an answer, so the upstream is asked.
      expect((await client.message()).status).toBe(200);
      await ended(proxy);
    });
  });

  describe("a change of protocol", () => {
    const ASK = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n";

    test("is not asked for by one that expects no body", async () => {
      await using origin = await startOrigin(async (connection) => {
        const request = await connection.message({ toHead: true });
        expect(request.field("upgrade")).toBeUndefined();
        connection.send(OK);
      });
      await using proxy = await startProxy(piping(origin));
      const client = await proxy.send(ASK);
      expect((await client.message()).status).toBe(200);
      expect(origin.failures).toEqual([]);
    });
  });
});
