import { readFileSync } from "node:fs";

/** Header blocks of one direction of a connection, as hexadecimal digits, and what the last of them says. */
export interface HeaderBlockCase {
  readonly name: string;
  /** Where it is decided. */
  readonly rfc: string;
  readonly blocks: readonly string[];
  readonly fields?: readonly (readonly [name: string, value: string])[];
  /** The dynamic table thereafter, newest first. */
  readonly table?: readonly (readonly [name: string, value: string])[];
  /** The fields are to be never indexed. */
  readonly neverIndexed?: boolean;
  /** The last block is refused with these words. */
  readonly refused?: string;
}

export function readHeaderBlocks(): HeaderBlockCase[] {
  return JSON.parse(readFileSync(new URL("corpus/header-blocks.json", import.meta.url), "utf8")) as HeaderBlockCase[];
}
