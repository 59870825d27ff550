import { describe, expect, test } from "vitest";
import { gate, get, startProxy } from "../support/proxy.ts";

/** What a hook gives that never ends. */
const NEVER = new Promise<never>(() => undefined);

describe("failToProxy", () => {
  test("that answers by respond() and returns reuse: false closes the connection", async () => {
    await using proxy = await startProxy({
      failToProxy(session) {
        session.respond(502);
        return { status: 502, reuse: false };
      },
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(502);
    expect((await client.rest()).length).toBe(0);
  });

  test("that takes its time answers a request that could not be read, too", async () => {
    const { opened, open } = gate();
    await using proxy = await startProxy({
      async failToProxy(session, error) {
        await opened;
        session.respondError(error.status!, { body: "no" });
        return error.status!;
      },
    });
    const client = await proxy.send("nonsense\r\n\r\n");
    open();
    const answer = await client.message();
    expect([answer.status, answer.body.toString()]).toEqual([400, "no"]);
  });

  test.each([
    ["that could not be read", "nonsense\r\n\r\n"],
    ["that failed", get()],
  ])("that never ends is not waited for when the client of a request %s has left", async (_what, request) => {
    const { opened, open } = gate();
    await using proxy = await startProxy({
      failToProxy() {
        open();
        return NEVER;
      },
    });
    const client = await proxy.send(request);
    await opened;
    client.close();
    await proxy.whenFinished();
    await expect.poll(() => proxy.service.connectionCount, { interval: 5 }).toBe(0);
  });
});

describe("errorPage", () => {
  test("may take its time, and is asked for a status of failToProxy and of a request that could not be read", async () => {
    const statuses: number[] = [];
    await using proxy = await startProxy({
      failToProxy: (_session, error) => (error.status === 400 ? 422 : 500),
      errorPage: async (_session, status) => {
        statuses.push(status);
        return { body: `page ${status}` };
      },
    });
    const client = await proxy.send("nonsense\r\n\r\n");
    const answer = await client.message();
    expect([answer.status, answer.body.toString(), statuses]).toEqual([422, "page 422", [422]]);
  });
});
