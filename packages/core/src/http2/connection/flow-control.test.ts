import { expect, test } from "vitest";
import { answer, respond, type Handler } from "../../../test/harness.ts";
import { collect, exchange, Http2Served, open, POST } from "../../../test/http2-harness.ts";
import { FLAG, FRAME, requestFields } from "../../testing/index.ts";
import { FLOW_CONTROL_ERROR } from "../error-codes.ts";

const UPLOAD = [...POST.slice(0, -1), "/upload"];
/** Three times the connection's window. */
const LARGE = "x".repeat(3 * 1_048_576);

/** Reads what goes to /upload; for anything else, `handler`. */
function beside(handler: Handler): Handler {
  return (seen) => (seen.session.request.target === "/upload" ? answer(seen) : handler(seen));
}

test("bodies that came whole and were never read are given back to the connection's window", async () => {
  await using served = await Http2Served.start(beside(({ session }) => respond(session, 403, "")));
  const client = served.client();
  for (let round = 0; round < 120; round++) {
    expect((await exchange(client, POST, "x".repeat(10_000))).status).toBe(403);
  }
  expect((await exchange(client, UPLOAD, LARGE)).status).toBe(200);
});

test("so are those that were reset in their middle, read or not", async () => {
  let requests = 0;
  const never: Handler = (seen) => {
    if (requests++ % 2 === 0) seen.session.events = seen;
    return new Promise<void>((resolve) => (seen.session.onGone = () => resolve()));
  };
  await using served = await Http2Served.start(beside(never), { maxResets: Number.POSITIVE_INFINITY });
  const client = served.client();
  for (let round = 0; round < 120; round++) {
    const stream = open(client, POST, false);
    const over = collect(stream);
    stream.write("x".repeat(10_000), () => stream.close(8));
    await over;
  }
  expect((await exchange(client, UPLOAD, LARGE)).status).toBe(200);
});

test("what was on its way to a stream that we reset is no offence, also by the window of SETTINGS that were not acknowledged", async () => {
  await using served = await Http2Served.start(beside(({ session }) => session.abort()));
  const client = await served.frames({ acknowledge: false });
  client.headers(1, requestFields("POST"), FLAG.END_HEADERS);
  await client.reset(1);
  client.send(FRAME.SETTINGS, FLAG.ACK, 0);
  // As much as a stream may send by our settings.
  for (let bytes = 0; bytes < 262_144; bytes += 16_384) client.data(1, Buffer.alloc(16_384));
  client.headers(3, requestFields("GET", "/upload"));
  expect(await client.status(3)).toBe(200);
  client.data(1, "a");
  expect((await client.goaway()).code).toBe(FLOW_CONTROL_ERROR);
});

test("who takes its bytes has a window, as long as those that wait leave any", async () => {
  await using served = await Http2Served.start((seen) =>
    seen.session.request.target === "/stuck" ? new Promise<void>(() => undefined) : answer(seen),
  );
  const client = await served.frames();
  // Which allow 1 MB on the connection, and 256 KB on a stream.
  await client.next(FRAME.SETTINGS);
  const upload = (id: number, path: string): void => {
    client.headers(id, requestFields("POST", path), FLAG.END_HEADERS);
    for (let bytes = 0; bytes < 262_144; bytes += 16_384) client.data(id, Buffer.alloc(16_384));
  };
  for (const id of [1, 3, 5]) upload(id, "/stuck");
  upload(7, "/");
  // None of the window is left, until what was taken is given back.
  const given = await client.next(FRAME.WINDOW_UPDATE, 0, ({ payload }) => payload.readUInt32BE(0) <= 262_144);
  expect(given.payload.readUInt32BE(0)).toBe(131_072);
});
