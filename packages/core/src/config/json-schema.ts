import { z, type ZodType } from "zod";
import { serverConfShape } from "./server-conf-keys.ts";

/** A JSON Schema (2020-12), as plain data. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * What an editor needs to help with a file of `schema`: names, types, limits, defaults, descriptions. It accepts some things that
 * {@link parseYamlConfig} refuses, since not every check can be said in it.
 * @param title Shown by editors.
 */
export function configJsonSchema(schema: ZodType, title: string): JsonSchema {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return { $schema, title, ...rest };
}

/** That of a server's own keys; others are allowed, as the extensions of applications. */
export function serverConfJsonSchema(): JsonSchema {
  return configJsonSchema(z.looseObject(serverConfShape), "Configuration of a Sluice server");
}
