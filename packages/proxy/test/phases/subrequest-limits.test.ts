import type { Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK } from "../support/origin.ts";
import { get, TestProxy } from "../support/proxy.ts";
import { answerOf, spawning } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ answering, startProxy }) => {
  describe("limits", () => {
    test("a hook that spawns itself ends at the fifth level", async () => {
      const depths: (number | undefined)[] = [];
      const statuses: (number | undefined)[] = [];
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        origin,
        allowSpawningSubrequest: () => true,
        async requestFilter(session) {
          depths.push(session.subrequest?.depth);
          statuses.push((await answerOf(session.subrequests!.create())).status);
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
      expect(depths).toEqual([undefined, 1, 2, 3, 4, 5]);
      expect(statuses).toEqual([500, 200, 200, 200, 200]);
      expect(proxy.errors).toHaveLength(1);
      expect(proxy.errors[0]!["error"]).toMatch("a subrequest 6 deep; at most 5 (subrequests.maxDepth)");
    });

    test("the subrequests of a client's request are counted together, those in the background too", async () => {
      await using origin = await answering(OK);
      let nested = 0;
      const nest = async (session: Session): Promise<void> => {
        if (session.subrequest?.depth === 2) return;
        await session.subrequests!.spawnBackground();
        await answerOf(session.subrequests!.create());
        nested++;
      };
      await using proxy = await startProxy(
        { origin, allowSpawningSubrequest: () => true, requestFilter: nest },
        { subrequests: { maxPerRequest: 3 } },
      );
      const client = await proxy.send(get());
      // Its background one makes two of its own, and nothing is left for it.
      expect((await client.message()).status).toBe(500);
      expect(nested).toBe(1);
      expect(proxy.errors[0]!["error"]).toMatch("more than 3 subrequests of one request");
    });

    test.each([
      [{ maxDepth: -1 }, "subrequests: maxDepth: expected an integer of at least 0, got -1"],
      [{ maxPerRequest: 1.5 }, "subrequests: maxPerRequest: expected an integer of at least 0, got 1.5"],
      [{ depth: 1 } as never, "subrequests: unknown option depth"],
    ])("%j is refused", async (subrequests, message) => {
      await expect(TestProxy.start({}, { subrequests })).rejects.toThrow(message);
    });

    test.each([
      [{ boddy: "none" } as never, "create: unknown option boddy; did you mean body?"],
      [{ body: "all" } as never, 'create: body: expected none or expect, got "all"'],
      [{ target: "" }, "target"],
      [{ fields: { "a b": "c" } }, "a b"],
    ])("create(%j) is refused, and counts for nothing", async (options, message) => {
      await using origin = await answering(OK);
      let thrown: unknown;
      const filter = (session: Session): void => {
        try {
          session.subrequests!.create(options);
        } catch (error) {
          thrown = error;
        }
        session.subrequests!.create();
      };
      await using proxy = await startProxy(spawning(origin, filter), { subrequests: { maxPerRequest: 1 } });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
      expect(String(thrown)).toMatch(message);
    });
  });
});
