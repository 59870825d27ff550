import { isDeepStrictEqual } from "node:util";
import { loadYamlConfig } from "@sluice/core";
import type { z } from "zod";
import { checkAccessLog } from "./access-log-service.ts";
import { problemsOfUpstreams } from "./check-start.ts";
import { problemsOfSync, report } from "./conf-problems.ts";
import { gatewayConfSchema, type GatewayConf } from "./gateway-conf.ts";

/** What a reload changes; everything else is the same for the whole life of a gateway. */
const RELOADABLE: ReadonlySet<string> = new Set<keyof GatewayConf>(["upstreams", "routes", "access_log"]);

/**
 * Reads the file again, for a gateway that runs with `running`.
 * @throws ConfigError as `loadGatewayConf`; also for what cannot change, and for files of upstreams that cannot be used.
 */
export function reloadGatewayConf(path: string, running: GatewayConf): GatewayConf {
  return loadYamlConfig(
    path,
    gatewayConfSchema.superRefine((conf, context) => {
      reportFixed(conf, running, context);
      reportFiles(conf, context);
    }),
  );
}

function reportFixed(conf: GatewayConf, running: GatewayConf, context: z.RefinementCtx): void {
  const keys = new Set([...Object.keys(conf), ...Object.keys(running)]);
  for (const key of keys) {
    if (RELOADABLE.has(key)) continue;
    const path = differenceOf([key], conf[key as keyof GatewayConf], running[key as keyof GatewayConf]);
    if (path === undefined) continue;
    context.addIssue({
      code: "custom",
      path,
      message: "cannot be changed by a reload; needs an upgrade (--upgrade and SIGQUIT), or a restart",
    });
  }
}

function reportFiles(conf: GatewayConf, context: z.RefinementCtx): void {
  report(problemsOfUpstreams(conf), context);
  report(
    problemsOfSync(["access_log", "path"], () => checkAccessLog(conf.access_log)),
    context,
  );
}

/** The path of the value that differs, as deep as it is the only one; `undefined` if none does. */
function differenceOf(path: readonly PropertyKey[], one: unknown, other: unknown): PropertyKey[] | undefined {
  if (isDeepStrictEqual(one, other)) return undefined;
  if (!isObject(one) || !isObject(other) || Array.isArray(one) !== Array.isArray(other)) return [...path];
  const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  const differing = keys.filter((key) => !isDeepStrictEqual(one[key], other[key]));
  const [key = ""] = differing;
  if (differing.length > 1) return [...path];
  const step = Array.isArray(one) ? Number(key) : key;
  return differenceOf([...path, step], one[key], other[key]);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
