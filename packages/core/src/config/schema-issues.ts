import { ZodNumber, ZodObject, type core } from "zod";
import type { KeyPath } from "./key-path.ts";
import { nearestName } from "./nearest-name.ts";
import type { Side } from "./yaml-place.ts";

/** One problem that a schema found, not yet tied to a line. */
export interface Finding {
  path: KeyPath;
  side: Side;
  /** A whole message; when it begins with {@link EXPECTED}, what was found is still to be added. */
  message: string;
}

/** How messages begin that need what was found: `expected a list`. Schemas may give their own in this form. */
export const EXPECTED = "expected ";

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "an integer",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
};

/** Zod's wording replaced by ours, for issues whose schema has none of its own. */
const describeIssue: core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case "invalid_type":
    case "too_small":
    case "too_big":
      return EXPECTED + (numberText(issue) ?? sizeText(issue));
    case "invalid_value":
      return `${EXPECTED}${issue.values.length > 1 ? "one of " : ""}${issue.values.map(String).join(", ")}`;
    case "unrecognized_keys":
      // One line a key; see findings().
      return issue.keys.map((key) => unknownKeyText(key, issue.inst)).join("\n");
    case "invalid_format":
      return `${EXPECTED}the form ${issue.format}`;
    case "not_multiple_of":
      return `${EXPECTED}a multiple of ${issue.divisor}`;
    case "invalid_union":
    case "invalid_key":
    case "invalid_element":
    case "custom":
    default:
      return "not valid";
  }
};

/** How a configuration is parsed: in our words, and without the code that Zod makes for a schema, which costs a start 10 ms. */
export const PARSING: core.ParseContext<core.$ZodIssue> = { error: describeIssue, jitless: true };

/** The problems of one issue: a line for each unknown key, the closest alternative of a union. */
export function findings(issue: core.$ZodIssue, base: KeyPath = []): Finding[] {
  const path = [...base, ...issue.path];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.message
        .split("\n")
        .map((message, index) => ({ path: [...path, issue.keys[index]!], side: "key", message }));
    case "invalid_union":
      return unionFindings(issue.errors, path);
    case "invalid_key":
      return [{ path, side: "key", message: issue.issues[0]?.message ?? issue.message }];
    case "invalid_type":
    case "too_small":
    case "too_big":
    case "invalid_value":
    case "invalid_format":
    case "invalid_element":
    case "not_multiple_of":
    case "custom":
    default:
      return [{ path, side: "value", message: issue.message }];
  }
}

/** A union's value is meant as the alternative whose type it has; if none, all of them were possible. */
function unionFindings(alternatives: readonly core.$ZodIssue[][], path: KeyPath): Finding[] {
  const ofItsType = alternatives.filter((issues) => !issues.some(isWrongType)).toSorted((a, b) => a.length - b.length);
  if (ofItsType[0] !== undefined) return ofItsType[0].flatMap((issue) => findings(issue, path));
  const wanted = alternatives.flatMap((issues) => issues.filter(isWrongType).map((issue) => issue.message));
  const texts = new Set(wanted.map((message) => message.replace(EXPECTED, "")));
  return [{ path, side: "value", message: EXPECTED + [...texts].join(" or ") }];
}

function isWrongType(issue: core.$ZodIssue): boolean {
  return issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value");
}

function unknownKeyText(key: string, schema: unknown): string {
  const known = schema instanceof ZodObject ? Object.keys(schema.shape) : [];
  const near = nearestName(key, known);
  if (near !== undefined) return `unknown key; did you mean ${near}?`;
  return known.length === 0 ? "unknown key" : `unknown key; known here: ${known.join(", ")}`;
}

type SizeIssue = core.$ZodRawIssue<core.$ZodIssueInvalidType | core.$ZodIssueTooSmall | core.$ZodIssueTooBig>;

function sizeText(issue: SizeIssue): string {
  if (issue.code === "invalid_type") return TYPE_NAMES[issue.expected] ?? issue.expected;
  const count = Number(issue.code === "too_small" ? issue.minimum : issue.maximum);
  const unit = issue.origin === "string" ? "character" : "entry";
  const units = count === 1 ? unit : unit.replace(/y$/, "ie") + "s";
  return `at ${issue.code === "too_small" ? "least" : "most"} ${count} ${units}`;
}

/** The whole of what a number schema admits: `a positive integer`, `an integer from 0 to 9`; `undefined` for others. */
function numberText(issue: SizeIssue): string | undefined {
  const schema = issue.schema ?? issue.inst;
  if (!(schema instanceof ZodNumber)) return undefined;
  const [one, least, most] = schema.isInt
    ? ["an integer", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]
    : ["a number", Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const from = schema.minValue ?? least;
  const to = schema.maxValue ?? most;
  if (from > least && to < most) return `${one} from ${from} to ${to}`;
  if (from === 1 && schema.isInt) return "a positive integer";
  if (from > least) return `${one} of at least ${from}`;
  return to < most ? `${one} of at most ${to}` : one;
}
