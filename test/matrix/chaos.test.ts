import { readdirSync } from "node:fs";
import { setImmediate, setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { LEGS } from "./legs.ts";
import { line, type Line } from "./line.ts";
import type { Visit } from "./matrix-origin.ts";

const TASKS = 12;
const REQUESTS = 40;

const KINDS = [
  "echo",
  "echo much",
  "no bytes",
  "large, read slowly",
  "cut before the head",
  "cut in the body",
  "left before the head",
  "left in the body",
  "left in the upload",
  "answered early",
] as const;

/** mulberry32: the same numbers for the same seed. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

async function play(visit: Visit): Promise<void> {
  const kind = decodeURIComponent(visit.seen.url.split("/")[1]!);
  switch (kind) {
    case "cut before the head":
      visit.cut();
      return;
    case "cut in the body":
      visit.response.writeHead(200);
      visit.response.write("half");
      await setImmediate();
      visit.cut();
      return;
    case "left before the head":
      return;
    case "left in the body":
      visit.response.writeHead(200);
      visit.response.write("half");
      return;
    case "left in the upload":
      visit.request.resume();
      return;
    case "answered early":
      visit.answer(413, {}, "too much");
      return;
    case "large, read slowly":
      visit.answer(200, {}, Buffer.alloc(1_000_000, "l"));
      return;
    default:
      visit.answer(200, {}, (await visit.body()).body);
  }
}

/** Gives what was wrong, if anything. */
async function ask({ client }: Line, kind: (typeof KINDS)[number], number: number): Promise<string | undefined> {
  const path = `/${encodeURIComponent(kind)}/${number}`;
  const got = async (wanted: number, expected: Buffer, asked: object): Promise<string | undefined> => {
    const { status, body } = await client.ask({ path, ...asked }).answered;
    return status === wanted && body.equals(expected) ? undefined : `${path}: ${status}, ${body.length} bytes`;
  };
  switch (kind) {
    case "echo":
      return await got(200, Buffer.from(path), { method: "POST", body: path });
    case "echo much": {
      const body = Buffer.alloc(200_000, path);
      return await got(200, body, { method: "POST", body });
    }
    case "no bytes":
      return await got(200, Buffer.alloc(0), {
        method: "POST",
        stream: async (_write: unknown, end: () => void) => end(),
      });
    case "answered early":
      return await got(413, Buffer.from("too much"), { method: "POST", body: "short" });
    case "large, read slowly": {
      const exchange = client.ask({ path });
      exchange.pause();
      await exchange.head;
      await delay(20);
      exchange.resume();
      const { body } = await exchange.answered;
      return body.length === 1_000_000 ? undefined : `${path}: ${body.length} bytes`;
    }
    case "cut before the head": {
      // Sent again, as a GET may be, or not: never answered as if it were good.
      const { status } = await client.ask({ path }).answered;
      return status === 502 ? undefined : `${path}: ${status}`;
    }
    case "cut in the body":
      return await client.ask({ path }).answered.then(
        () => `${path}: whole`,
        () => undefined,
      );
    case "left before the head": {
      const exchange = client.ask({ path });
      await setImmediate();
      exchange.leave();
      return undefined;
    }
    case "left in the body": {
      const exchange = client.ask({ path });
      await exchange.head;
      exchange.leave();
      return undefined;
    }
    case "left in the upload": {
      const exchange = client.ask({ path, method: "POST", stream: (write) => write("first") });
      await delay(5);
      exchange.leave();
      return undefined;
    }
  }
}

function resources(): Record<string, number> {
  const counts: Record<string, number> = { descriptors: readdirSync("/proc/self/fd").length };
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await delay(10);
}

describe.each(LEGS)("$name", (leg) => {
  test("whatever fails, the rest is served, and nothing is left behind", async () => {
    const before = resources();
    const wrong: string[] = [];
    {
      await using on = await line(leg, play, {}, { http2: { maxResets: 100_000 } });
      const task = async (index: number): Promise<void> => {
        const below = random(index + 1);
        for (let n = 0; n < REQUESTS; n++) {
          const kind = KINDS[below(KINDS.length)]!;
          const said = await ask(on, kind, index * 1000 + n).catch(
            (error: unknown) => `${kind} ${n}: ${String(error)}`,
          );
          if (said !== undefined) wrong.push(said);
        }
      };
      await Promise.all(Array.from({ length: TASKS }, (_, index) => task(index)));
      expect(wrong).toEqual([]);
      await on.client[Symbol.asyncDispose]();
      await until(() => on.proxy.service.connectionCount === 0);
      await until(() => on.proxy.finished.length === on.proxy.begun);
    }
    // What holds the process up is gone; sockets of the system may take a turn or two.
    const more = (): string[] =>
      Object.entries(resources()).flatMap(([name, count]) =>
        count > (before[name] ?? 0) + 2 ? [`${name}: ${count}`] : [],
      );
    await until(() => more().length === 0);
    expect(more()).toEqual([]);
  });
});
