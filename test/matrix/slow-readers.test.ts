import { describe, expect, test } from "vitest";
import { LEGS } from "./legs.ts";
import { line } from "./line.ts";

const STALLED = 95;

describe.each(LEGS.filter(({ downstream }) => downstream === 2))("$name", (leg) => {
  test(`${STALLED} streams whose client reads nothing hold up no other on their connection`, async () => {
    const large = Buffer.alloc(500_000, "l");
    await using on = await line(leg, (visit) => visit.answer(200, {}, visit.seen.url === "/large" ? large : "ok"));
    const stalled = Array.from({ length: STALLED }, () => {
      const exchange = on.client.ask({ path: "/large" });
      exchange.pause();
      return exchange;
    });
    await Promise.all(stalled.map(({ head }) => head));
    for (let n = 0; n < 100; n++) expect(String((await on.client.get("/small")).body)).toBe("ok");
    for (const exchange of stalled) exchange.resume();
    for (const { status, body } of await Promise.all(stalled.map(({ answered }) => answered)))
      expect([status, body.equals(large)]).toEqual([200, true]);
  });
});
