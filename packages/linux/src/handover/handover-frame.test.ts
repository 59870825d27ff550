import * as fc from "fast-check";
import { expect, test } from "vitest";
import { LinuxError } from "../linux-error.ts";
import { decodeFrame, encodeFrame, type HandoverFrame } from "./handover-frame.ts";

const text = fc.string({ unit: "grapheme" });
const address = fc.string({ minLength: 1, maxLength: 200, unit: "binary" }).filter((each) => each.isWellFormed());
const frame: fc.Arbitrary<HandoverFrame> = fc.oneof(
  fc.record(
    {
      type: fc.constant("hello" as const),
      version: fc.integer(),
      count: fc.nat(10_000),
      variables: fc.dictionary(text, text, { noNullPrototype: true }),
    },
    { requiredKeys: ["type", "version", "count"] },
  ) as fc.Arbitrary<HandoverFrame>,
  fc.record({ type: fc.constant("listeners" as const), addresses: fc.array(address) }),
  fc.record({ type: fc.constant("received" as const), count: fc.nat(10_000) }),
  fc.record({ type: fc.constantFrom("serving" as const, "draining" as const) }),
  fc.record({ type: fc.constant("refused" as const), reason: text }),
);

test("a frame arrives as it was sent, on one line", () => {
  fc.assert(
    fc.property(frame, (given) => {
      const line = encodeFrame(given);
      expect(line.indexOf("\n")).toBe(line.length - 1);
      expect(decodeFrame(line.subarray(0, -1), "test")).toEqual(given);
    }),
  );
});

test("whatever else arrives is refused with an error that shows a part of it", () => {
  const anything = fc.oneof(
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.json().map((json) => Buffer.from(json)),
    fc.object().map((object) => Buffer.from(JSON.stringify({ type: "hello", ...object }))),
    frame.map((given) => encodeFrame(given).subarray(0, -2)),
  );
  fc.assert(
    fc.property(anything, (line) => {
      try {
        const { type } = decodeFrame(line, "test");
        expect(["hello", "listeners", "received", "serving", "draining", "refused"]).toContain(type);
      } catch (error) {
        if (!(error instanceof LinuxError)) throw error;
        expect(error.code).toBe("EPROTO");
        expect(error.message.length).toBeLessThan(600);
      }
    }),
  );
});
