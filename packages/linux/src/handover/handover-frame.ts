import { LinuxError } from "../linux-error.ts";

/**
 * What the two processes of a hand-over tell each other: a line of JSON each.
 *
 *     old: hello {count}   listeners × n (descriptors attached)            draining | refused
 *     new:                                         received    serving | refused
 */
export type HandoverFrame =
  | { readonly type: "hello"; readonly version: number; readonly count: number; readonly variables?: Variables }
  /** As many descriptors came with it as it has addresses. */
  | { readonly type: "listeners"; readonly addresses: readonly string[] }
  | { readonly type: "received"; readonly count: number }
  | { readonly type: "serving" }
  | { readonly type: "draining" }
  | { readonly type: "refused"; readonly reason: string };

/** Variables of an environment. */
export type Variables = Readonly<Record<string, string>>;

/** Of the lines; both sides must have the same. */
export const HANDOVER_VERSION = 1;

/** An address is a path or a name with a port; this is far above both. */
export const MAX_ADDRESS_LENGTH = 4096;

/** More than a server listens on. */
export const MAX_LISTENERS = 10_000;

/** The longest line: a full message of the longest addresses, each character escaped. */
export const MAX_FRAME_BYTES: number = 8 * 1024 * 1024;

export function encodeFrame(frame: HandoverFrame): Buffer {
  return Buffer.from(`${JSON.stringify(frame)}\n`);
}

/** @throws LinuxError `EPROTO` for what is no frame. */
export function decodeFrame(line: Buffer, attempted: string): HandoverFrame {
  let value: unknown;
  try {
    value = JSON.parse(line.toString());
  } catch {
    throw malformed(line, attempted);
  }
  if (isFrame(value)) return value;
  throw malformed(line, attempted);
}

function isFrame(value: unknown): value is HandoverFrame {
  if (typeof value !== "object" || value === null) return false;
  const frame = value as Record<string, unknown>;
  switch (frame["type"]) {
    case "hello":
      return isCount(frame["count"]) && typeof frame["version"] === "number" && areVariables(frame["variables"] ?? {});
    case "listeners":
      return Array.isArray(frame["addresses"]) && frame["addresses"].every(isAddress);
    case "received":
      return isCount(frame["count"]);
    case "refused":
      return typeof frame["reason"] === "string";
    case "serving":
    case "draining":
      return true;
    default:
      return false;
  }
}

function areVariables(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.values(value).every((each) => typeof each === "string");
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_LISTENERS;
}

export function isAddress(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MAX_ADDRESS_LENGTH;
}

function malformed(line: Buffer, attempted: string): LinuxError {
  const shown = JSON.stringify(line.subarray(0, 60).toString());
  return new LinuxError("EPROTO", attempted, `the other process sent ${shown}, which is no message of a hand-over`);
}
