import { expect, test } from "vitest";
import type { Http2Endpoint } from "./http2-endpoint.ts";
import type { Http2Stream, SendTurn } from "./http2-stream.ts";
import { SendLine } from "./send-line.ts";

const endpoint = { congested: false } as Http2Endpoint;

function stream(takeTurn: () => SendTurn): Http2Stream {
  return { inLine: false, takeTurn } as Http2Stream;
}

test("who waits for the connection's window stays in line, until it ends", () => {
  const line = new SendLine();
  const streams = [1, 2, 3].map(() => stream(() => "connection-window-closed"));
  for (const one of streams) line.add(one);
  line.run(endpoint);
  line.remove(streams[1]!);
  expect(streams.map(({ inLine }) => inLine)).toEqual([true, false, true]);
  line.remove(streams[0]!);
  line.remove(streams[2]!);
  expect(line.isEmpty).toBe(true);
});

test("each has a turn, and one that ends another has not its turn taken", () => {
  const line = new SendLine();
  const turns: string[] = [];
  let left = 3;
  const stuck = stream(() => "connection-window-closed");
  const head = stream(() => {
    turns.push("head");
    line.remove(stuck);
    return "nothing-left";
  });
  const long = stream(() => {
    turns.push("long");
    return --left > 0 ? "more" : "nothing-left";
  });
  for (const one of [stuck, head, long]) line.add(one);
  line.run(endpoint);
  expect(turns).toEqual(["head", "long", "long", "long"]);
});
