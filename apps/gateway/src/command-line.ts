import { parseArgs } from "node:util";
import { SERVER_ARGS_HELP } from "@sluice/core";

/** What the command line asks for. */
export type Command =
  | { kind: "help" }
  | { kind: "usage-error"; message: string }
  | { kind: "serve"; conf: string; testOnly: boolean; daemon: boolean; upgrade: boolean }
  | { kind: "demo"; testOnly: boolean };

export const HELP = `Usage: gateway --conf FILE [--daemon] [--upgrade] [--test]
       gateway --demo

An HTTP proxy run from one YAML file; see README.md for its keys.

${SERVER_ARGS_HELP}      --demo        run on 127.0.0.1:6188 with three small origins of its own

SIGTERM stops it when the requests in flight are done, Ctrl-C gives them a second. SIGHUP reads the file
again, SIGUSR1 opens log files again. SIGQUIT hands its listening sockets to the one that was started with --upgrade; see
docs/upgrade.md.
SLUICE_LOG=debug shows more, SLUICE_LOG=warn less; SLUICE_LOG=info,gateway=warn leaves out the line for each request.
`;

/** @param args Without the program's name. */
export function parseCommandLine(args: readonly string[]): Command {
  let values: { conf?: string; test?: boolean; daemon?: boolean; upgrade?: boolean; demo?: boolean; help?: boolean };
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        conf: { type: "string", short: "c" },
        test: { type: "boolean", short: "t" },
        daemon: { type: "boolean", short: "d" },
        upgrade: { type: "boolean", short: "u" },
        demo: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    return { kind: "usage-error", message: firstSentence((error as Error).message) };
  }
  const { conf, test: testOnly = false, daemon = false, upgrade = false, demo = false, help = false } = values;
  if (help) return { kind: "help" };
  if (demo && conf !== undefined)
    return { kind: "usage-error", message: "--demo has its own configuration; leave out --conf" };
  if (demo && (daemon || upgrade)) return { kind: "usage-error", message: "--demo runs in the foreground" };
  if (demo) return { kind: "demo", testOnly };
  if (conf === undefined || conf === "") return { kind: "usage-error", message: "expected --conf FILE or --demo" };
  return { kind: "serve", conf, testOnly, daemon, upgrade };
}

/** Node explains at length how an option could be meant as a file name, which does not apply here. */
function firstSentence(message: string): string {
  const [first = message] = message.split(/\.\s|\n/, 1);
  return first.replace(/\.$/, "");
}
