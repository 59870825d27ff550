import { describe, expect, test } from "vitest";
import { LEGS } from "./legs.ts";
import { line } from "./line.ts";

const CLIENTS = 64;
const REQUESTS = 40;

describe.each(LEGS.filter(({ upstream }) => upstream === 2))("$name", (leg) => {
  test(`an origin that says GOAWAY at every 50th request loses none of ${CLIENTS * REQUESTS}, and gets none twice`, async () => {
    let count = 0;
    const times = new Map<string, number>();
    await using on = await line(leg, async (visit) => {
      const { url, method } = visit.seen;
      times.set(url, (times.get(url) ?? 0) + 1);
      if (++count % 50 === 0)
        (visit.response as unknown as { stream: { session: { close(): void } } }).stream.session.close();
      const { body } = await visit.body();
      if (count % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      visit.answer(200, {}, `${method} ${url} ${String(body)}`);
    });
    const failed: string[] = [];
    const client = async (number: number): Promise<void> => {
      for (let n = 0; n < REQUESTS; n++) {
        const path = `/${number}/${n}`;
        const isPost = n % 2 === 1;
        const asked = isPost ? { method: "POST", path, body: "once" } : { path };
        const { status, body } = await on.client.ask(asked).answered;
        const expected = isPost ? `POST ${path} once` : `GET ${path} `;
        if (status !== 200 || String(body) !== expected) failed.push(`${path}: ${status} ${String(body)}`);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
    expect(failed).toEqual([]);
    expect([...times].filter(([, seen]) => seen > 1)).toEqual([]);
    expect(times.size).toBe(CLIENTS * REQUESTS);
    expect(on.origin.connections).toBeGreaterThan(10);
    expect(on.proxy.errors).toEqual([]);
  });
});
