import type { ExpositionFormat } from "./exposition.ts";

/**
 * The format that a scraper prefers (RFC 9110, section 12.5.1); text where it likes both as much, where it says nothing, and where it
 * takes neither: whoever looks by hand is better served by text than by a 406.
 */
export function negotiateFormat(accept: string | undefined): ExpositionFormat {
  if (accept === undefined) return "text";
  const ranges = accept.split(",", MAX_RANGES).map(toRange);
  const openMetrics = qualityOf(
    ranges,
    "application",
    "openmetrics-text",
    (version) => version?.startsWith("1.") ?? true,
  );
  const text = qualityOf(ranges, "text", "plain", (version) => version === undefined || version === "0.0.4");
  return openMetrics > text ? "openmetrics" : "text";
}

/** Nobody has more to say. */
const MAX_RANGES = 32;

interface MediaRange {
  readonly type: string;
  readonly subtype: string;
  readonly version: string | undefined;
  readonly quality: number;
}

function toRange(text: string): MediaRange {
  const [media = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const [type = "", subtype = ""] = media.split("/");
  const valueOf = (name: string): string | undefined =>
    parameters
      .find((parameter) => parameter.startsWith(`${name}=`))
      ?.slice(name.length + 1)
      .replaceAll('"', "");
  const quality = Number(valueOf("q") ?? 1);
  return { type, subtype, version: valueOf("version"), quality: quality >= 0 && quality <= 1 ? quality : 0 };
}

/** By the most specific range that fits. */
function qualityOf(
  ranges: readonly MediaRange[],
  type: string,
  subtype: string,
  isOurs: (version: string | undefined) => boolean,
): number {
  const exact = ranges.filter((range) => range.type === type && range.subtype === subtype && isOurs(range.version));
  if (exact.length > 0) return Math.max(...exact.map(({ quality }) => quality));
  const near = ranges.find((range) => range.type === type && range.subtype === "*");
  return (near ?? ranges.find((range) => range.type === "*" && range.subtype === "*"))?.quality ?? 0;
}
