import { codingOf, type ContentCoding } from "./content-coding.ts";

/** What a client says about content codings. */
export interface AcceptEncoding {
  /**
   * The codings that it takes, best first: by weight, then in the order of the field. `"identity"` (no coding) is among them
   * if it was named, after all that it likes as much or more.
   */
  readonly codings: readonly (ContentCoding | "identity")[];
  /** A body without a coding was refused, by `identity;q=0` or by `*;q=0`. */
  readonly identityRefused: boolean;
}

const NOTHING: AcceptEncoding = { codings: [], identityRefused: false };
/** What `*` stands for beside the codings that were named; dictionaries must be asked for by name. */
const ANY: readonly ContentCoding[] = ["gzip", "br", "zstd"];

const OWS = "[ \\t]*";
// RFC 9110, section 12.5.3: a coding, `identity` or `*`, and perhaps a weight (section 12.4.2).
const MEMBER = new RegExp(
  `^${OWS}([!#$%&'*+\\-.^_\`|~\\dA-Za-z]+)${OWS}(?:;${OWS}[qQ]=([01](?:\\.\\d{0,3})?))?${OWS}$`,
);

let latestLine = "";
let latest: AcceptEncoding = NOTHING;

/**
 * Reads Accept-Encoding (RFC 9110, section 12.5.3). A member that breaks the grammar is left out, and so counts as not
 * accepted. A coding that is named twice has the smaller weight, since what was refused once may not be sent.
 * @param lines The values of all its field lines. None: nothing is accepted, although the RFC would allow anything, since a
 * client that says nothing may not be able to decode.
 */
export function readAcceptEncoding(lines: readonly string[]): AcceptEncoding {
  if (lines.length === 0) return NOTHING;
  const line = lines.length === 1 ? lines[0]! : lines.join(",");
  // Clients send few different values.
  if (line !== latestLine) {
    latest = read(line);
    latestLine = line;
  }
  return latest;
}

function read(line: string): AcceptEncoding {
  const weights = new Map<ContentCoding | "identity" | "*", number>();
  for (const member of line.split(",")) {
    const [, token, weight] = MEMBER.exec(member) ?? [];
    if (token === undefined) continue;
    const name = nameOf(token);
    if (name === undefined) continue;
    const q = weightOf(weight);
    // More than 1 breaks the grammar, too.
    if (q <= 1) weights.set(name, Math.min(q, weights.get(name) ?? 1));
  }
  const any = weights.get("*") ?? 0;
  for (const coding of ANY) if (!weights.has(coding)) weights.set(coding, any);
  const identity = weights.get("identity");
  const identityRefused = identity === 0 || (identity === undefined && weights.get("*") === 0);
  weights.delete("*");
  weights.delete("identity");
  if (identity !== undefined) weights.set("identity", identity);
  // The sort is stable.
  const codings = [...weights]
    .filter(([, q]) => q > 0)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name]) => name as ContentCoding | "identity");
  return { codings, identityRefused };
}

function nameOf(token: string): ContentCoding | "identity" | "*" | undefined {
  if (token === "*") return "*";
  return token.toLowerCase() === "identity" ? "identity" : codingOf(token);
}

function weightOf(weight: string | undefined): number {
  return weight === undefined ? 1 : Number(weight);
}
