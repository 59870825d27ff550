import type { HttpProxyOptions } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import type { Message } from "../support/message.ts";
import { OK, refusedAddress } from "../support/origin.ts";
import { get } from "../support/proxy.ts";
import { piping } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ startOrigin, startProxy }) => {
  const UUID = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;

  interface Seen {
    readonly client: string | undefined;
    readonly upstream: string | undefined;
    readonly session: string | undefined;
  }

  /** What client, upstream and hooks see in the field, for each of these requests. */
  async function seen(options: HttpProxyOptions, heads: readonly string[], name = "X-Request-Id"): Promise<Seen[]> {
    const arrived: Message[] = [];
    await using origin = await startOrigin(async (connection) => {
      for (;;) {
        arrived.push(await connection.message());
        connection.send(OK);
      }
    });
    await using proxy = await startProxy({ origin }, options);
    const all: Seen[] = [];
    for (const [index, head] of heads.entries()) {
      const answer = await (await proxy.send(head)).message();
      const { session } = await proxy.whenFinished(index + 1);
      all.push({ client: answer.field(name), upstream: arrived[index]!.field(name), session: session.requestId });
    }
    return all;
  }

  const withId = (id: string): string => `GET / HTTP/1.1\r\nHost: test\r\nX-Request-Id: ${id}\r\n\r\n`;

  test("without the option there is none, and the client's passes as any other field", async () => {
    expect(await seen({}, [get(), withId("mine")])).toEqual([
      { client: undefined, upstream: undefined, session: undefined },
      { client: undefined, upstream: "mine", session: undefined },
    ]);
  });

  test("each request has one of its own, which is told to both sides; a client's does not count", async () => {
    const [one, two] = (await seen({ requestId: true }, [get(), withId("mine")])) as [Seen, Seen];
    expect(one.session).toMatch(UUID);
    expect(one).toEqual({ client: one.session, upstream: one.session, session: one.session });
    expect(two).toEqual({ client: two.session, upstream: two.session, session: two.session });
    expect(new Set([one.session, two.session, "mine"]).size).toBe(3);
  });

  test("that of a client that is trusted counts, if it can be one", async () => {
    const options = { requestId: { trust: () => true, generate: () => "ours" } };
    const got = await seen(options, [withId("mine"), withId("two words"), withId("x".repeat(129)), withId("")]);
    expect(got.map(({ session }) => session)).toEqual(["mine", "ours", "ours", "ours"]);
    expect(got.map(({ upstream }) => upstream)).toEqual(["mine", "ours", "ours", "ours"]);
  });

  test("a client that is answered by a subrequest is told the id of its own request", async () => {
    const arrived: Message[] = [];
    await using origin = await startOrigin(async (connection) => {
      arrived.push(await connection.message());
      connection.send(OK);
    });
    let count = 0;
    const requestId = { generate: () => `id-${++count}` };
    await using proxy = await startProxy({ ...piping(origin) }, { requestId });
    const answer = await (await proxy.send(get())).message();
    await proxy.whenFinished(2);
    const own = proxy.finished.find(({ session }) => !session.isSubrequest)!.session.requestId;
    expect(answer.fields.filter(([name]) => name.toLowerCase() === "x-request-id")).toEqual([["X-Request-Id", own]]);
    expect(arrived[0]!.field("X-Request-Id")).toMatch(/^id-/);
    expect(arrived[0]!.field("X-Request-Id")).not.toBe(own);
  });

  test("in another field, and not to the client", async () => {
    const options = { requestId: { field: "Trace", toClient: false, generate: () => "t1" } };
    expect(await seen(options, [get()], "Trace")).toEqual([{ client: undefined, upstream: "t1", session: "t1" }]);
  });

  describe("an answer of our own has it, too", () => {
    test("of a hook", async () => {
      const app = {
        origin: { address: "127.0.0.1:1" },
        requestFilter: (session: { respond(status: number): never }) => session.respond(403),
      };
      await using proxy = await startProxy(app as never, { requestId: { generate: () => "r1" } });
      expect((await (await proxy.send(get())).message()).field("x-request-id")).toBe("r1");
    });

    test("of a failure", async () => {
      await using proxy = await startProxy(
        { origin: { address: await refusedAddress() } },
        { requestId: { generate: () => "r1" } },
      );
      const answer = await (await proxy.send(get())).message();
      expect([answer.status, answer.field("x-request-id")]).toEqual([502, "r1"]);
    });
  });

  test("what makes ids may fail: the request does not", async () => {
    const [one] = await seen({ requestId: { generate: () => "no id\n" } }, [get()]);
    expect(one!.client).toMatch(UUID);
  });

  test("options that cannot be", async () => {
    await expect(
      startProxy({ origin: { address: "127.0.0.1:1" } }, { requestId: { field: "not a field" } }),
    ).rejects.toThrow(/field name/);
    await expect(
      startProxy({ origin: { address: "127.0.0.1:1" } }, { requestId: { feild: "X" } as object }),
    ).rejects.toThrow("did you mean field?");
    for (const name of ["trust", "generate"]) {
      await expect(
        startProxy({ origin: { address: "127.0.0.1:1" } }, { requestId: { [name]: "x" } as object }),
      ).rejects.toThrow(`requestId: ${name}: expected a function, got "x"`);
    }
  });

  test("false gives none", async () => {
    const [one] = await seen({ requestId: false }, [get()]);
    expect(one!.client).toBeUndefined();
  });

  test("the line of a failed request has its id", async () => {
    await using proxy = await startProxy({ origin: { address: await refusedAddress() } }, { requestId: true });
    const client = await proxy.send(get());
    const id = (await client.message()).field("X-Request-Id");
    expect(id).toMatch(UUID);
    await proxy.whenFinished();
    expect(proxy.errors).toMatchObject([{ msg: "request failed", request_id: id }]);
  });
});
