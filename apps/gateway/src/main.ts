import { ConfigError, configureLogs } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { LinuxError } from "@sluice/linux";
import { checkStart } from "./check-start.ts";
import { HELP, parseCommandLine, type Command } from "./command-line.ts";
import { Demo } from "./demo.ts";
import { reasonOf } from "./error-reason.ts";
import { loadGatewayConf } from "./gateway-conf.ts";
import { humanLog } from "./human-log.ts";
import { runGateway } from "./run-gateway.ts";

// No top-level await: CommonJS, in which the bundle is, has none.
void main(process.argv.slice(2)).then((code) => (process.exitCode = code));

/** The exit code: 0 done, 1 the configuration or an address cannot be used, 2 the command line was wrong. */
async function main(args: readonly string[]): Promise<number> {
  const command = parseCommandLine(args);
  try {
    if (!useLogs()) return 2;
    return await execute(command);
  } catch (error) {
    if (error instanceof ConfigError) return fail(error.message);
    // Of an upgrade, or of the sockets of systemd.
    if (error instanceof LinuxError) return fail(`gateway: ${error.message}`);
    if (!(error instanceof ProxyError)) throw error;
    const where = error.type === "BindError" ? `; listeners are in ${confFile(command)}` : "";
    return fail(`gateway: ${reasonOf(error)}${where}`);
  }
}

async function execute(command: Command): Promise<number> {
  switch (command.kind) {
    case "help":
      process.stdout.write(HELP);
      return 0;
    case "usage-error":
      process.stderr.write(`gateway: ${command.message}; see --help\n`);
      return 2;
    case "serve":
      return serve(command);
    case "demo":
    default:
      return demo(command.testOnly);
  }
}

async function serve({ conf: file, testOnly, daemon, upgrade }: Extract<Command, { kind: "serve" }>): Promise<number> {
  if (testOnly) {
    await checkStart(file, { daemon });
    return valid(file);
  }
  await runGateway(loadGatewayConf(file), { file, upgrade, ...(daemon && { daemon }) });
  return 0;
}

async function demo(testOnly: boolean): Promise<number> {
  if (testOnly) {
    Demo.loadConf();
    return valid(Demo.confFile);
  }
  const running = await Demo.start();
  try {
    await runGateway(running.conf, {
      intercept: (session) => running.control(session),
      onReady: () => process.stdout.write(running.introduction),
    });
  } finally {
    await running.stop();
  }
  return 0;
}

function confFile(command: Command): string {
  return command.kind === "serve" ? command.conf : Demo.confFile;
}

function valid(file: string): number {
  process.stdout.write(`${file}: valid\n`);
  return 0;
}

function fail(message: string): number {
  process.stderr.write(`${message}\n`);
  return 1;
}

/** People read a terminal, programs everything else. `false`: SLUICE_LOG cannot be understood. */
function useLogs(): boolean {
  try {
    if (!process.stderr.isTTY) {
      configureLogs();
      return true;
    }
    const toText = humanLog({ colors: process.env["NO_COLOR"] === undefined });
    configureLogs({ destination: { write: (line) => void process.stderr.write(toText(line)) } });
    return true;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    process.stderr.write(`gateway: ${error.message}\n`);
    return false;
  }
}
