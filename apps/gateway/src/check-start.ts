import { readFileSync } from "node:fs";
import path from "node:path";
import { assumeAccount, checkHost, checkLogFile, parseYamlConfig } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { problemsOf, problemsOfSync, report, type ConfProblem } from "./conf-problems.ts";
import { gatewayConfSchema, loadGatewayConf, type GatewayConf } from "./gateway-conf.ts";
import { toListenSettings, toTlsProvider } from "./tls-conf.ts";
import { toTransport } from "./transport.ts";
import { toUpstreamSettings } from "./upstream-settings.ts";

/**
 * What `--test` looks at: the file, and all that a start with it would need to find on this machine: accounts, logs, certificates
 * and keys; not whether addresses are free, for a gateway that runs has them. Creates and changes nothing, but that the process
 * becomes the account of the file if it may, since that is who opens logs and keys.
 * @throws ConfigError with every problem and its line.
 */
export async function checkStart(file: string, { daemon }: { readonly daemon: boolean }): Promise<void> {
  const conf = loadGatewayConf(file);
  const text = readFileSync(file, "utf8");
  const account = checkHost({ ...conf, daemon: daemon || conf.daemon }).map(({ key, message }): ConfProblem => ({
    path: [key],
    message,
  }));
  const problems = [...account, ...problemsOfCa(conf), ...problemsOfTransport(conf), ...problemsOfUpstreams(conf)];
  const isKnown = !account.some(({ path: [key] }) => key === "user" || key === "group");
  const asWhom = isKnown && assumeAccount(conf) ? ` (as user ${conf.user})` : "";
  const opened = [...problemsOfAccessLog(conf, daemon), ...(await problemsOfListeners(conf))];
  problems.push(...opened.map(({ path: key, message }) => ({ path: key, message: message + asWhom })));
  if (problems.length === 0) return;
  parseYamlConfig(
    text,
    gatewayConfSchema.superRefine((_, context) => report(problems, context)),
    file,
  );
}

function problemsOfCa({ ca_file }: GatewayConf): ConfProblem[] {
  return problemsOfSync(["ca_file"], () => toTlsProvider({ ca_file, upstream_debug_ssl_keylog: false }));
}

function problemsOfTransport(conf: GatewayConf): ConfProblem[] {
  const noFiles = { ca_file: undefined, upstream_debug_ssl_keylog: false };
  return problemsOfSync(["io_uring"], () => toTlsProvider(noFiles, toTransport(conf)));
}

/** Of the files of upstreams, which a start reads before it is another account. */
export function problemsOfUpstreams({ upstreams }: GatewayConf): ConfProblem[] {
  return Object.entries(upstreams).flatMap(([name, upstream]) =>
    problemsOfSync(["upstreams", name, "tls"], () => toUpstreamSettings(name, upstream)),
  );
}

function problemsOfAccessLog(conf: GatewayConf, daemon: boolean): ConfProblem[] {
  const { access_log: log, working_directory: folder = "/" } = conf;
  if (log === undefined) return [];
  return problemsOfSync(["access_log", "path"], () => {
    try {
      checkLogFile(daemon || conf.daemon ? path.resolve(folder, log.path) : path.resolve(log.path));
    } catch (error) {
      throw ProxyError.internal("ConfigError", `cannot open ${log.path}: ${(error as Error).message}`);
    }
  });
}

async function problemsOfListeners(conf: GatewayConf): Promise<ConfProblem[]> {
  const provider = toTlsProvider({ ca_file: undefined, upstream_debug_ssl_keylog: false });
  const found: ConfProblem[] = [];
  for (const [index, { tls }] of conf.listeners.entries()) {
    if (tls === undefined) continue;
    const listen = async (): Promise<void> => (await provider.listen(toListenSettings(tls))).close();
    found.push(...(await problemsOf(["listeners", index, "tls"], listen)));
  }
  return found;
}
