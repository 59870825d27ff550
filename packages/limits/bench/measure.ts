import { getHeapStatistics } from "node:v8";

const SAMPLES = 7;

/**
 * Prints the median of the nanoseconds that one call of `action` takes, in rounds of `rounds`, and the bytes it allocates.
 * The first round warms up.
 */
export function measure(what: string, rounds: number, action: (round: number) => void): void {
  const samples = Array.from({ length: SAMPLES + 1 }, () => {
    const allocated = allocatedBytes();
    const start = performance.now();
    for (let round = 0; round < rounds; round++) action(round);
    const nanoseconds = ((performance.now() - start) * 1e6) / rounds;
    return { nanoseconds, bytes: (allocatedBytes() - allocated) / rounds };
  }).slice(1);
  const nanoseconds = median(samples.map((sample) => sample.nanoseconds)).toFixed(0);
  const bytes = median(samples.map((sample) => sample.bytes)).toFixed(0);
  console.log(`${what.padEnd(54)} ${nanoseconds.padStart(6)} ns ${bytes.padStart(5)} bytes allocated`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(SAMPLES - 1) / 2]!;
}

/** Of the process so far; NaN before Node.js 26. */
function allocatedBytes(): number {
  const { total_allocated_bytes } = getHeapStatistics() as { total_allocated_bytes?: number };
  return total_allocated_bytes ?? Number.NaN;
}
