import { visit, type Document, type ErrorCode, type YAMLError } from "yaml";
import type { KeyPath } from "./key-path.ts";
import { pathOfKeyAt } from "./yaml-place.ts";

/** A place where the text is not the YAML it should be. */
export interface SyntaxFault {
  offset: number;
  /** Of the key concerned; empty when none is known. */
  path: KeyPath;
  message: string;
}

/** The parser's own messages quote the text, which may be a secret; these do not. */
const MESSAGES: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: "an alias can have neither an anchor nor a tag",
  BAD_ALIAS: "not an alias or anchor name",
  BAD_COLLECTION_TYPE: "the tag does not fit the value",
  BAD_DIRECTIVE: "a %directive is not understood",
  BAD_DQ_ESCAPE: "an escape in a \"…\" string is not valid; write \\\\ for a backslash, or use '…'",
  BAD_INDENT: "the indentation does not fit the lines around it",
  BAD_PROP_ORDER: "an anchor or tag stands where it cannot",
  BAD_SCALAR_START: "a plain value cannot begin with this character; put it in quotes",
  BLOCK_AS_IMPLICIT_KEY: "a nested mapping cannot begin on the line of its key",
  BLOCK_IN_FLOW: "block style cannot be used inside […] or {…}",
  DUPLICATE_KEY: "this key is already set above, in the same mapping",
  IMPOSSIBLE: "not valid YAML",
  KEY_OVER_1024_CHARS: "a key can have at most 1024 characters",
  MISSING_CHAR: "a character is missing here, such as a closing quote or bracket, or a comma, a colon or a space",
  MULTILINE_IMPLICIT_KEY: "a key must be on one line; is a colon missing, or the indentation wrong?",
  MULTIPLE_ANCHORS: "a value can have only one anchor",
  MULTIPLE_DOCS: "a second document begins here; expected one document a file",
  MULTIPLE_TAGS: "a value can have only one tag",
  NON_STRING_KEY: "a key must be a string",
  RESOURCE_EXHAUSTION: "nested too deeply",
  TAB_AS_INDENT: "a tab cannot indent; use spaces",
  TAG_RESOLVE_FAILED: "a value does not fit its tag, or the tag is not known",
  UNEXPECTED_TOKEN: "not valid YAML here; is a quote, a colon or a bracket misplaced?",
};

/** What the parser found, aliases that lead nowhere included. */
export function syntaxFaults(document: Document): SyntaxFault[] {
  // A warning is a tag that was not applied; the value would silently be another than meant.
  const faults = [...document.errors, ...document.warnings].map((error) => toFault(document, error));
  if (faults.length > 0) return faults;
  visit(document, {
    Alias(_key, alias) {
      if (alias.resolve(document) !== undefined) return;
      faults.push({ offset: alias.range?.[0] ?? 0, path: [], message: "no anchor of this name stands above" });
    },
  });
  return faults;
}

function toFault(document: Document, error: YAMLError): SyntaxFault {
  const offset = error.pos[0];
  const path = error.code === "DUPLICATE_KEY" ? pathOfKeyAt(document, offset) : [];
  return { offset, path, message: MESSAGES[error.code] };
}
