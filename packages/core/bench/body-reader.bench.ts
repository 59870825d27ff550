// What finding the payload costs: `node packages/core/bench/body-reader.bench.ts`. Prints nanoseconds per message of 64 KiB.
import { strictEqual } from "node:assert";
import { BodyReader } from "../src/http1/body-reader.ts";
import { DEFAULT_HEAD_LIMITS } from "../src/http1/head-limits.ts";
import { nanosecondsEach, printLine } from "./median.ts";

const BODY_BYTES = 65_536;
const READ_BYTES = 16_384;

const reader = new BodyReader(DEFAULT_HEAD_LIMITS, false);

measure("Content-Length", Buffer.alloc(BODY_BYTES, "x"), 50_000, () => reader.startLength(BODY_BYTES));
for (const [chunkBytes, rounds] of [
  [BODY_BYTES, 50_000],
  [16_384, 50_000],
  [4096, 20_000],
  [256, 2000],
  [16, 200],
] as const) {
  const chunk = `${chunkBytes.toString(16)}\r\n${"x".repeat(chunkBytes)}\r\n`;
  const wire = Buffer.from(`${chunk.repeat(BODY_BYTES / chunkBytes)}0\r\n\r\n`, "latin1");
  measure(`chunks of ${chunkBytes} bytes`, wire, rounds, () => reader.startChunked());
}
const wire = Buffer.from("d\r\nHello, world!\r\n0\r\n\r\n", "latin1");
measure("one chunk of 13 bytes", wire, 500_000, () => reader.startChunked(), 13);

/** Reads `bytes` as they would come from a socket, in pieces of 16 KiB. */
function measure(what: string, bytes: Buffer, rounds: number, start: () => void, bodyBytes = BODY_BYTES): void {
  const reads: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += READ_BYTES) reads.push(bytes.subarray(at, at + READ_BYTES));
  let given = 0;
  const read = (): void => {
    start();
    given = 0;
    for (const buffer of reads) {
      for (let at = 0; at < buffer.length;) {
        at = reader.read(buffer, at, buffer.length);
        if (reader.piece === undefined) continue;
        given += reader.piece.length;
        reader.piece = undefined;
      }
    }
  };
  const check = (): void => {
    read();
    strictEqual(reader.done, true);
    strictEqual(given, bodyBytes);
    strictEqual(reader.bytes, bodyBytes);
  };
  check();
  const nanoseconds = nanosecondsEach(rounds, read);
  check();
  printLine(what, nanoseconds, "message");
}
