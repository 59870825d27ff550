import { describe, expect, test } from "vitest";
import { allOf, head, subrequested, word } from "../../test/subrequests.ts";
import { SubrequestHandle } from "./subrequest-handle.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

describe("reading", () => {
  test("waits for what is not there yet", async () => {
    const { handle, session } = subrequested();
    const first = handle.next();
    session.writeHeader(head(200), false);
    expect(word(await first)).toBe("200");
    const second = handle.next();
    session.finish();
    expect([word(await second), word(await handle.next()), word(await handle.next())]).toEqual([
      "end",
      "nothing",
      "nothing",
    ]);
  });

  test("two at once are refused", async () => {
    const { handle, session } = subrequested();
    const first = handle.next();
    await expect(handle.next()).rejects.toThrow("another next() of this subrequest still waits");
    session.writeHeader(head(200), true);
    expect(word(await first)).toBe("200");
  });

  test("gives every event once and in order, however slowly it goes", async () => {
    const { handle, session, seen } = subrequested();
    const sent = Array.from({ length: 50 }, (_, n) => String(n));
    // As an upstream's pieces come: one after another, until asked to wait.
    const left = [...sent];
    const write = (): void => {
      while (left.length > 0 && session.writeBody(bytes(left.shift()!)));
      if (left.length === 0) session.finish();
    };
    seen.onDownstreamWritable = write;
    session.events = seen;
    session.writeHeader(head(200), false);
    write();
    expect(left.length).toBeGreaterThan(0);
    const words = await allOf(handle);
    expect(words).toEqual(["200", ...sent.map((text) => `"${text}"`), "end"]);
  });

  test("who leaves the loop before the end gives the subrequest up", async () => {
    const { handle, session } = subrequested({}, "none");
    session.writeHeader(head(200), false);
    for await (const event of handle) if (event.type === "header") break;
    expect(session.error).toMatchObject({ type: "WriteError" });
  });

  test("who reads to the end does not", async () => {
    const { handle, session, seen } = subrequested({ Connection: "upgrade", Upgrade: "ws" });
    session.events = seen;
    session.writeHeader(head(101, { Upgrade: "ws" }), false);
    session.finish();
    expect(await allOf(handle)).toEqual(["101", "end"]);
    handle.writeBody(bytes("still there"));
    expect(session.error).toBeUndefined();
  });
});

describe("draining", () => {
  test("throws everything away, never asks to wait, and lets the body go on", async () => {
    const { handle, session, seen } = subrequested({ "Content-Length": "3" });
    session.events = seen;
    session.writeHeader(head(200), false);
    const drained = handle.drain();
    expect(handle.waiting).toBe(0);
    for (let n = 0; n < 10; n++) expect(session.writeBody(Buffer.alloc(65_536))).toBe(true);
    handle.writeBody(bytes("abc"));
    expect([seen.body, seen.ended]).toEqual(["abc", true]);
    session.finish();
    await drained;
    expect(handle.drain()).toBe(drained);
    expect(await handle.next()).toBeUndefined();
  });

  test("lets go on what was waiting for a reader", () => {
    const { handle, session, seen } = subrequested();
    session.events = seen;
    session.writeHeader(head(200), false);
    expect(session.writeBody(Buffer.alloc(65_536))).toBe(false);
    void handle.drain();
    expect(seen.drains).toBe(1);
  });

  test("ends with a response that was cut, too", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200), false);
    const drained = handle.drain();
    session.abort();
    expect(await drained).toBeUndefined();
    await expect(handle.next()).rejects.toMatchObject({ type: "ConnectionClosed" });
  });
});

test.each([
  [{ writeMs: -1 }, "writeMs: expected a number of at least 0, got -1"],
  [{ bodyMs: Number.NaN }, "bodyMs: expected a number of at least 0, got NaN"],
  [{ bodyMS: 1 } as never, "unknown option bodyMS; did you mean bodyMs?"],
])("refuses %j", (options, message) => {
  expect(() => new SubrequestHandle(options)).toThrow(message);
});
