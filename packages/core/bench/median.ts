const SAMPLES = 7;

/**
 * The median of the nanoseconds that one call of `action` takes, in rounds of `rounds`; the first warms up. Of this thread's CPU time:
 * what else the machine does is not in it.
 */
export function nanosecondsEach(rounds: number, action: () => void): number {
  const samples = Array.from({ length: SAMPLES + 1 }, () => {
    const start = process.threadCpuUsage();
    for (let round = 0; round < rounds; round++) action();
    const { user, system } = process.threadCpuUsage(start);
    return ((user + system) * 1e3) / rounds;
  });
  return samples.slice(1).toSorted((a, b) => a - b)[(SAMPLES - 1) / 2]!;
}

export function printLine(what: string, nanoseconds: number, unit: string): void {
  console.log(`${what.padEnd(48)} ${nanoseconds.toFixed(0).padStart(8)} ns per ${unit}`);
}
