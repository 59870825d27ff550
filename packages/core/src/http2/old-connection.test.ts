import { expect, test } from "vitest";
import { bytesLeftOf } from "../../test/heap.ts";
import { respond } from "../../test/harness.ts";
import { Http2Served } from "../../test/http2-harness.ts";

test("requests on a connection that is old are collected with the young", async () => {
  const waiting: (() => void)[] = [];
  await using served = await Http2Served.start(async ({ session }) => {
    Object.assign(session, { bulk: Array.from({ length: 2500 }, () => 0) });
    served.requests.length = 0;
    // Some are always open: a table that holds none keeps none.
    await new Promise<void>((resolve) => {
      if (waiting.push(resolve) > 4) waiting.shift()!();
    });
    respond(session, 200, "");
  });
  const client = await served.frames();
  let streamId = 1;
  const ask = async (requests: number): Promise<void> => {
    for (let n = 0; n < requests; n++, streamId += 2) {
      client.get(streamId);
      if (streamId > 8) await client.status(streamId - 8);
    }
  };
  await ask(16);
  // Of 12 MB.
  expect(await bytesLeftOf(() => ask(600))).toBeLessThan(3_000_000);
});
