import { configureLogs, SubrequestHandle } from "@sluice/core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { BackgroundSubrequests } from "./background-subrequests.ts";

let lines: Record<string, unknown>[];

beforeEach(() => {
  lines = [];
  configureLogs({
    levels: "info",
    destination: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => void vi.useRealTimers());

/** One that runs until the test says that it is over. */
function running(background: BackgroundSubrequests, name: string): { cancelled: () => number; over: () => void } {
  const handle = new SubrequestHandle();
  const cancel = vi.spyOn(handle, "cancel");
  const { promise, resolve } = Promise.withResolvers<void>();
  background.add(handle, name, promise);
  return { cancelled: () => cancel.mock.calls.length, over: resolve };
}

describe("the end of the service", () => {
  test.each(["before", "meanwhile"])(
    "does not wait for ever for what was cut (forced %s), and names it",
    async (when) => {
      const background = new BackgroundSubrequests();
      const ends = running(background, "GET /ends");
      const hangs = running(background, "GET /hangs");
      const force = new AbortController();
      if (when === "before") force.abort();
      let ended = false;
      const ending = background.end(force.signal).then(() => (ended = true));
      if (when === "meanwhile") {
        await vi.advanceTimersByTimeAsync(60_000);
        expect([ended, hangs.cancelled()]).toEqual([false, 0]);
        force.abort();
      }
      expect(hangs.cancelled()).toBeGreaterThan(0);
      ends.over();
      await vi.advanceTimersByTimeAsync(999);
      expect(ended).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      await ending;
      expect(lines).toMatchObject([{ level: 40, requests: ["GET /hangs"] }]);
      expect(() => background.checkOpen()).toThrow("after the end of its service");
      hangs.over();
    },
  );

  test("waits no longer than what was cut takes, and leaves no timer", async () => {
    const background = new BackgroundSubrequests();
    const { over } = running(background, "GET /ends");
    const ending = background.end(AbortSignal.abort());
    over();
    await ending;
    expect([vi.getTimerCount(), lines]).toEqual([0, []]);
  });
});
