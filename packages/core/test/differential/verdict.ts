import type { Pairs } from "../harness.ts";

/** A message as it was read. `start` is method, target and version, or version, status and reason. */
interface Reading {
  start: string[];
  fields: Pairs;
  body: string;
  trailers: Pairs;
}

/** What a parser made of one message. `waits`: it wants more bytes; `stops`: it reads no further message. */
export type Verdict =
  | ({ kind: "accepts" } & Reading)
  | { kind: "refuses"; why: string }
  | { kind: "waits" }
  | { kind: "stops" };

/** How two parsers differ, in words that do not depend on the bytes of the case. */
export interface Difference {
  ours: string;
  llhttp: string;
}

/** The first difference between what two parsers made of the same bytes; `undefined` when they agree. */
export function difference(ours: readonly Verdict[], llhttp: readonly Verdict[]): Difference | undefined {
  for (let at = 0; at < Math.max(ours.length, llhttp.length); at++) {
    const a = ours[at] ?? { kind: "stops" };
    const b = llhttp[at] ?? { kind: "stops" };
    if (a.kind === "accepts" && b.kind === "accepts") {
      const parts = (["start", "fields", "body", "trailers"] as const).filter((part) => !equal(a[part], b[part]));
      if (parts.length > 0) return { ours: `accepts, other ${parts.join(", ")}`, llhttp: "accepts" };
    } else if (a.kind !== b.kind && !(readsNothing(a) && readsNothing(b))) {
      return { ours: inWords(a), llhttp: inWords(b) };
    } else if (a.kind !== "accepts") {
      return undefined;
    }
  }
  return undefined;
}

/** Whether the connection stays open behind a message is a matter of two servers, not of what they read. */
function readsNothing({ kind }: Verdict): boolean {
  return kind === "waits" || kind === "stops";
}

function inWords(verdict: Verdict): string {
  return verdict.kind === "refuses" ? `refuses: ${verdict.why}` : verdict.kind;
}

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
