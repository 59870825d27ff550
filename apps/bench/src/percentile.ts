/** The value that `fraction` of all values do not exceed, by the nearest rank. `NaN` of nothing. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = Float64Array.from(values).toSorted();
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? NaN;
}
