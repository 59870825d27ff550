import { LineCounter, parseDocument, type Document } from "yaml";
import type { ZodType } from "zod";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { readConfigFiles } from "./inherited-files.ts";
import { isSecret, keyPathText, valueAt, type KeyPath } from "./key-path.ts";
import { EXPECTED, findings, PARSING, type Finding } from "./schema-issues.ts";
import { offsetOf } from "./yaml-place.ts";
import { syntaxFaults } from "./yaml-syntax.ts";

const SHOWN_CHARS = 60;

/**
 * Reads `path` and parses it as {@link parseYamlConfig} does. Blocks; meant for start-up and reload.
 *
 * In a worker it gives what was valid last in the process that has started it: a worker that replaces another begins with the
 * configuration of the server, also when somebody is just editing the file.
 * @throws ConfigError also when the file cannot be read.
 */
export function loadYamlConfig<T>(path: string, schema: ZodType<T>): T {
  try {
    return readConfigFiles([path], (text) => parseYamlConfig(text, schema, path));
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const reason = error.code === "ENOENT" ? "no such file" : error.message;
    throw new ConfigError([{ file: path, line: 0, column: 0, key: "", message: `cannot read: ${reason}` }]);
  }
}

/**
 * Parses one YAML 1.2 document and checks it against `schema`. An empty document counts as an empty mapping.
 *
 * A message of the schema's own that begins with `expected ` gets what was found added; any other stays as it is.
 * @param fileName Only for the messages.
 * @throws ConfigError with every problem and its line: broken YAML, a key set twice, or what the schema refuses.
 *   No text of the document is repeated but the value concerned, and not that below a key that ends in `key` or holds
 *   `secret`, `password` or `token`.
 */
export function parseYamlConfig<T>(text: string, schema: ZodType<T>, fileName: string): T {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, logLevel: "error" });
  const problemAt = (offset: number, path: KeyPath, message: string): ConfigProblem => {
    const { line, col } = lineCounter.linePos(offset);
    return { file: fileName, line: Math.max(line, 1), column: Math.max(col, 1), key: keyPathText(path), message };
  };

  const faults = syntaxFaults(document);
  if (faults.length > 0) {
    throw new ConfigError(faults.map(({ offset, path, message }) => problemAt(offset, path, message)));
  }
  const value = toValue(document, () => problemAt(0, [], "its aliases repeat more than a configuration needs"));
  const result = schema.safeParse(value, PARSING);
  if (result.success) return result.data;
  const problems = result.error.issues
    .flatMap((issue) => findings(issue))
    .map((found) => problemAt(offsetOf(document, found.path, found.side), found.path, messageOf(found, value)));
  throw new ConfigError(problems.toSorted((a, b) => a.line - b.line || a.column - b.column));
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}

/** The document as plain values. The parser refuses to expand aliases without measure. */
function toValue(document: Document, onTooMuch: () => ConfigProblem): unknown {
  try {
    return document.toJS() ?? {};
  } catch {
    throw new ConfigError([onTooMuch()]);
  }
}

function messageOf({ path, side, message }: Finding, root: unknown): string {
  if (!message.startsWith(EXPECTED)) return message;
  if (side === "key") return `${message}, got ${shown(String(path.at(-1)))}`;
  const value = valueAt(root, path);
  if (value === undefined) return `missing; ${message}`;
  return `${message}, got ${secretOrShown(path, value)}`;
}

function secretOrShown(path: KeyPath, value: unknown): string {
  return isSecret(path) ? "another value (not shown)" : shown(value);
}

function shown(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : `a list of ${value.length}`;
  if (typeof value === "object") return "a mapping";
  if (typeof value === "number") return String(value);
  const short = typeof value === "string" && value.length > SHOWN_CHARS ? `${value.slice(0, SHOWN_CHARS)}…` : value;
  return JSON.stringify(short) ?? typeof value;
}
