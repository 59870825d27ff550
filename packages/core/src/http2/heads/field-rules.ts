import { isHopByHop, TAG_MASK, TE } from "../../http1/known-fields.ts";
import { INVALID, invalidField } from "../field-mark.ts";
import type { FieldReceiver } from "../hpack/decoder.ts";

/** Takes fields that nobody wants: the decoder must see them all the same (RFC 9113, section 4.3). */
export const NO_RECEIVER: FieldReceiver = { field: () => undefined };

/** What a field counts beside its bytes (RFC 9113, section 6.5.2). */
export const FIELD_OVERHEAD_BYTES = 32;

/**
 * Why a field makes a message malformed (RFC 9113, sections 8.2.1 and 8.2.2); `undefined` if it does not. For those that are no
 * pseudo-header fields. @param mark As `field-mark.ts` says.
 */
export function fieldFault(name: string, value: string, mark: number): string | undefined {
  if (mark === 0) return undefined;
  if ((mark & INVALID) !== 0) return invalidField(name, value);
  const tag = mark & TAG_MASK;
  if (!isHopByHop(tag) || (tag === TE && value.toLowerCase() === "trailers")) return undefined;
  return `the field ${name}, which speaks of one connection only`;
}

/** A text from a peer, for a log. */
export function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
