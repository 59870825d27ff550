/**
 * Writes what is made from the schemas of the configuration: a JSON Schema for editors, for servers and for the gateway, and the
 * table of keys in docs/configuration.md. `test/generated.test.ts` sees when they are not current.
 */

import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gatewayConfSchema } from "../apps/gateway/src/gateway-conf.ts";
import { configJsonSchema, serverConfJsonSchema, type JsonSchema } from "../packages/core/src/config/json-schema.ts";
import { ROOT } from "./workspace.ts";

const TABLE = /(?<=<!-- keys: begin -->\n).*(?=<!-- keys: end -->)/s;

if (import.meta.main) {
  for (const [file, text] of await generatedFiles()) await writeFile(path.join(ROOT, file), text);
}

/** What the files should hold, by their path in the repository. */
export async function generatedFiles(): Promise<ReadonlyMap<string, string>> {
  const guide = await readFile(path.join(ROOT, "docs/configuration.md"), "utf8");
  const server = serverConfJsonSchema();
  return new Map([
    ["packages/core/server-conf.schema.json", toJson(server)],
    ["apps/gateway/gateway.schema.json", toJson(configJsonSchema(gatewayConfSchema, "Configuration of the gateway"))],
    ["docs/configuration.md", guide.replace(TABLE, () => keyTable(server))],
  ]);
}

function toJson(schema: JsonSchema): string {
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

/** What the table needs of the schema of one key. */
interface KeySchema {
  readonly type?: string;
  readonly const?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly description: string;
  readonly anyOf?: readonly KeySchema[];
}

function keyTable(schema: JsonSchema): string {
  const rows = Object.entries(schema["properties"] as Record<string, KeySchema>).map(([key, own]) => [
    `\`${key}\``,
    typeText(key, own),
    own.default === undefined ? "none" : `\`${JSON.stringify(own.default).replaceAll('"', "")}\``,
    own.description,
  ]);
  return aligned([["key", "type", "default", "meaning"], ...rows]);
}

function typeText(key: string, schema: KeySchema): string {
  if (schema.anyOf !== undefined)
    return schema.anyOf.map((one) => (one.type === "string" ? "name" : "number")).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return "list";
  if (schema.type === "string") return "path";
  if (schema.type === "boolean") return "true or false";
  const unit = key.endsWith("_seconds") ? "seconds" : "integer";
  const { minimum = 0, maximum } = schema;
  const bounded = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER;
  return bounded ? `${unit}, ${minimum} to ${maximum}` : `${unit}, from ${minimum}`;
}

/** As oxfmt would write it. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[], fill = " "): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!, fill)).join(" | ")} |`;
  const [head = [], ...body] = rows;
  return `\n${[
    line(head),
    line(
      head.map(() => ""),
      "-",
    ),
    ...body.map((row) => line(row)),
  ].join("\n")}\n\n`;
}
