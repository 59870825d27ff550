/**
 * Counts are whole, so that what was added can be taken away to the last bit; and one NaN in a shared counter would stay there.
 * @throws RangeError
 */
export function checkCount(value: number, where: string): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${where}: expected an integer of 0 or more, got ${String(value)}`);
  }
}
