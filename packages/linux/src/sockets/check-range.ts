import { LinuxError } from "../linux-error.ts";

/** @throws LinuxError `EINVAL` for a value that is given and no whole number from `min` to `max`. */
export function checkRange(attempted: string, name: string, value: unknown, min: number, max: number): void {
  if (value === undefined) return;
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return;
  const got = typeof value === "number" ? String(value) : typeof value;
  throw new LinuxError("EINVAL", attempted, `${name} must be a whole number from ${min} to ${max}, not ${got}`);
}
