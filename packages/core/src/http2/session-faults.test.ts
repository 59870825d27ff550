import { ResponseHeader } from "@sluice/http";
import { expect, test } from "vitest";
import type { Handler } from "../../test/harness.ts";
import { Http2Served } from "../../test/http2-harness.ts";
import { FLAG, FRAME, requestFields } from "../testing/index.ts";
import { INTERNAL_ERROR } from "./error-codes.ts";

type Event = "onRequestData" | "onRequestBatch" | "onRequestEnd" | "onDownstreamWritable";

/** What nobody caught meanwhile. */
async function uncaught(during: () => Promise<unknown>): Promise<unknown[]> {
  const errors: unknown[] = [];
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException").on("uncaughtException", (error) => errors.push(error));
  await during();
  process.removeAllListeners("uncaughtException");
  for (const listener of listeners) process.on("uncaughtException", listener);
  return errors;
}

test.each<[Event, paused: boolean]>([
  ["onRequestData", false],
  ["onRequestData", true],
  ["onRequestBatch", false],
  ["onRequestEnd", false],
  ["onDownstreamWritable", false],
])(
  "what %s throws (behind a pause: %s) ends the connection: nothing is misread, and nobody waits",
  async (event, paused) => {
    const fault = new Error("a fault");
    const { promise: allFailed, resolve } = Promise.withResolvers<void>();
    let failed = 0;
    const handler: Handler = async (seen) => {
      const { session } = seen;
      session.onGone = () => {
        if (++failed === 2) resolve();
      };
      session.events = seen;
      if (session.request.target === "/fault") {
        seen[event] = () => {
          throw fault;
        };
        if (paused) session.pauseBody();
        if (paused) setTimeout(() => session.resumeBody(), 5);
        session.writeHeader(ResponseHeader.build(200), false);
        if (event === "onDownstreamWritable") while (session.writeBody(Buffer.alloc(16_000)));
      }
      await allFailed;
    };
    await using served = await Http2Served.start(handler);
    const client = await served.frames();
    await client.next(FRAME.SETTINGS, 0, ({ flags }) => flags === FLAG.ACK);
    const errors = await uncaught(async () => {
      client.headers(1, requestFields("POST"), FLAG.END_HEADERS);
      client.headers(3, requestFields("POST", "/fault"), FLAG.END_HEADERS);
      client
        .data(3, "abc", event === "onRequestEnd")
        .windowUpdate(3, 1_000_000)
        .windowUpdate(0, 1_000_000);
      expect(await client.goaway()).toEqual({ code: INTERNAL_ERROR, lastStreamId: 3 });
      await allFailed;
      client.stream.end();
      await served.idle();
    });
    expect(errors).toEqual([fault]);
  },
);
