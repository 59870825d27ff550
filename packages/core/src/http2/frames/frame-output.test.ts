import { describe, expect, test } from "vitest";
import { streamPair, type StreamPair } from "../../testing/index.ts";
import { frameBytes } from "../../testing/index.ts";
import { FrameOutput } from "./frame-output.ts";
import { ACK, DATA, END_STREAM, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE } from "./frame-types.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function start(options: Parameters<typeof streamPair>[0] = {}): { output: FrameOutput; pair: StreamPair } {
  const pair = streamPair(options);
  return { output: new FrameOutput(pair.local), pair };
}

describe("what is framed in one turn", () => {
  test("leaves by one write, behind the turn", async () => {
    const { output, pair } = start();
    output.settings([
      [3, 100],
      [4, 2 ** 31 - 1],
    ]);
    output.acknowledgeSettings();
    output.ping(ACK, Buffer.from("12345678"));
    output.windowUpdate(5, 2 ** 31 - 1);
    output.resetStream(7, 0xfffffffe);
    output.data(9, Buffer.from("abcdef"), 1, 4, false);
    expect(pair.local.writes).toEqual([]);
    await turn();
    expect(pair.local.writes).toEqual([
      Buffer.concat([
        frameBytes(SETTINGS, 0, 0, Buffer.from([0, 3, 0, 0, 0, 100, 0, 4, 0x7f, 255, 255, 255])),
        frameBytes(SETTINGS, ACK, 0),
        frameBytes(PING, ACK, 0, Buffer.from("12345678")),
        frameBytes(WINDOW_UPDATE, 0, 5, Buffer.from([0x7f, 255, 255, 255])),
        frameBytes(RST_STREAM, 0, 7, Buffer.from([255, 255, 255, 254])),
        frameBytes(DATA, 0, 9, Buffer.from("bcd")),
      ]),
    ]);
  });

  test("leaves by one write also if it is a response of 64 KiB", async () => {
    const { output, pair } = start({ toRemote: { windowBytes: 1_000_000 } });
    const chunk = Buffer.alloc(65_536, "a");
    for (let at = 0; at < chunk.length; at += 16_384) output.data(1, chunk, at, at + 16_384, false);
    await turn();
    expect(pair.local.writes.map(({ length }) => length)).toEqual([65_536 + 36]);
  });

  test("leaves before its end when there is much of it", () => {
    const { output, pair } = start({ toRemote: { windowBytes: 1_000_000 } });
    for (let round = 0; round < 10; round++) output.data(1, Buffer.alloc(16_384), 0, 16_384, false);
    expect(pair.local.writes.length).toBe(2);
  });

  test("a frame that has not left can still be made the last, but not afterwards", async () => {
    const { output, pair } = start();
    const flagsAt = output.data(1, Buffer.from("a"), 0, 1, false);
    output.data(3, Buffer.from("b"), 0, 1, false);
    const { epoch } = output;
    output.markEnd(flagsAt);
    await turn();
    expect(pair.local.writes[0]).toEqual(
      Buffer.concat([frameBytes(DATA, END_STREAM, 1, Buffer.from("a")), frameBytes(DATA, 0, 3, Buffer.from("b"))]),
    );
    expect(output.epoch).not.toBe(epoch);
  });
});

test("a peer that takes nothing shows, until it has taken all", async () => {
  const { output, pair } = start({ toRemote: { windowBytes: 1000 } });
  expect(output.congested).toBe(false);
  for (let round = 0; round < 5; round++) output.data(1, Buffer.alloc(16_384), 0, 16_384, false);
  output.flush();
  expect(output.congested).toBe(true);
  expect(output.unsentBytes).toBeGreaterThan(65_536);
  pair.local.once("drain", () => output.drained());
  pair.remote.resume();
  await pair.flush();
  expect([output.congested, output.unsentBytes]).toEqual([false, 0]);
});

test("GOAWAY says why", async () => {
  const { output, pair } = start();
  output.goaway(5, 2, "so");
  await turn();
  expect(pair.local.writes[0]!.toString("hex")).toBe("00000a0700000000000000000500000002736f");
});

test("nothing leaves once it is closed", async () => {
  const { output, pair } = start();
  output.acknowledgeSettings();
  output.close();
  output.acknowledgeSettings();
  await turn();
  expect(pair.local.writes).toEqual([]);
});
