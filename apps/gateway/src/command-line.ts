import { parseArgs } from "node:util";

/** What the command line asks for. */
export type Command =
  | { kind: "help" }
  | { kind: "usage-error"; message: string }
  | { kind: "serve"; conf: string; testOnly: boolean }
  | { kind: "demo"; testOnly: boolean };

export const HELP = `Usage: gateway --conf FILE [--test]
       gateway --demo

An HTTP proxy run from one YAML file; see README.md for its keys.

  -c, --conf FILE   the configuration
  -t, --test        check the configuration and exit: 0 valid, 1 not
      --demo        run on 127.0.0.1:6188 with three small origins of its own
  -h, --help        this text

SIGTERM stops it when the requests in flight are done, Ctrl-C gives them a second.
SLUICE_LOG=debug shows more, SLUICE_LOG=warn less; SLUICE_LOG=info,gateway=warn leaves out the line for each request.
`;

/** @param args Without the program's name. */
export function parseCommandLine(args: readonly string[]): Command {
  let values: { conf?: string; test?: boolean; demo?: boolean; help?: boolean };
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        conf: { type: "string", short: "c" },
        test: { type: "boolean", short: "t" },
        demo: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    return { kind: "usage-error", message: firstSentence((error as Error).message) };
  }
  const { conf, test: testOnly = false, demo = false, help = false } = values;
  if (help) return { kind: "help" };
  if (demo && conf !== undefined)
    return { kind: "usage-error", message: "--demo has its own configuration; leave out --conf" };
  if (demo) return { kind: "demo", testOnly };
  if (conf === undefined || conf === "") return { kind: "usage-error", message: "expected --conf FILE or --demo" };
  return { kind: "serve", conf, testOnly };
}

/** Node explains at length how an option could be meant as a file name, which does not apply here. */
function firstSentence(message: string): string {
  const [first = message] = message.split(/\.\s|\n/, 1);
  return first.replace(/\.$/, "");
}
