import { HttpConnector } from "@sluice/core";
import { HttpPeer, HttpProxy, SubrequestSpawner, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK, type Origin } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { spawning } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ answering, startOrigin, startProxy }) => {
  describe("in the background", () => {
    /** An origin that answers requests for `/slow` when its gate opens. */
    async function slow(opened: Promise<void>): Promise<Origin> {
      return startOrigin(async (connection) => {
        for (;;) {
          const { startLine } = await connection.message();
          if (startLine.includes("/slow")) await opened;
          // More than a handle holds, so that it must be drained.
          const length = 300_000;
          connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`, Buffer.alloc(length));
        }
      });
    }

    test("outlives its parent, and its answer is thrown away", async () => {
      const { opened, open } = gate();
      await using origin = await slow(opened);
      let over: Promise<void> | undefined;
      const filter = (session: Session): void => {
        over = session.subrequests!.spawnBackground({ target: "/slow" });
      };
      await using proxy = await startProxy(spawning(origin, filter));
      const client = await proxy.send(get("/main"));
      expect((await client.message()).status).toBe(200);
      client.close();
      expect((await proxy.whenFinished()).session.request.target).toBe("/main");
      expect(proxy.service.proxy.background.size).toBe(1);
      open();
      await over;
      const { session, error } = await proxy.whenFinished(2);
      expect([session.subrequest!.background, session.responseBodyBytes, error]).toEqual([true, 300_000, undefined]);
      expect(session.clientAddress).toMatch(/^127\.0\.0\.1:/);
      expect(proxy.service.proxy.background.size).toBe(0);
    });

    test("is waited for when the service stops", async () => {
      const { opened, open } = gate();
      await using origin = await slow(opened);
      await using proxy = await startProxy(
        spawning(origin, (session) => {
          void session.subrequests!.spawnBackground({ target: "/slow" });
          return session.respond(204);
        }),
      );
      const client = await proxy.send(get());
      await client.message();
      let stopped = false;
      const stopping = proxy.service.stop(new AbortController().signal).then(() => (stopped = true));
      await client.whenEnded();
      client.close();
      await proxy.whenFinished(1);
      expect(stopped).toBe(false);
      open();
      await stopping;
      expect(proxy.finished.map(({ error }) => error)).toEqual([undefined, undefined]);
    });

    test("is cut when the grace period is over, and the log says so", async () => {
      await using origin = await slow(new Promise(() => undefined));
      await using proxy = await startProxy(
        spawning(origin, (session) => {
          void session.subrequests!.spawnBackground({ target: "/slow" });
          return session.respond(204);
        }),
      );
      const client = await proxy.send(get());
      await client.message();
      const force = new AbortController();
      const stopping = proxy.service.stop(force.signal);
      await client.whenEnded();
      client.close();
      await origin.connection();
      force.abort();
      await stopping;
      const { session, error } = await proxy.whenFinished(2);
      expect([session.isSubrequest, error?.detail]).toEqual([true, "server-stop"]);
      expect(proxy.errors[0]!["error"]).toMatch("we cut the subrequest: the server stops");
    });

    test("cannot begin after the end of the service", async () => {
      const connector = new HttpConnector();
      const proxy = new HttpProxy<object>(
        { newCtx: () => ({}), upstreamPeer: () => new HttpPeer("127.0.0.1:1") },
        connector,
        1,
        undefined,
      );
      await proxy.background.end(new AbortController().signal);
      let parent: Session | undefined;
      await using origin = await answering(OK);
      await using main = await startProxy({ origin, requestFilter: (session) => void (parent = session) });
      const client = await main.send(get());
      await client.message();
      expect(() => new SubrequestSpawner(proxy, parent!).spawnBackground()).toThrow("after the end of its service");
    });
  });
});
