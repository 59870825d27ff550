import { parseArgs } from "node:util";

/** What the command line of a server says. */
export interface ServerArgs {
  /** `-c FILE`, `--conf FILE`: the configuration; default none, which means the defaults of all keys. */
  readonly conf: string | undefined;
  /** `-d`, `--daemon`: run in the background, whatever the configuration says. */
  readonly daemon: boolean;
  /** `-u`, `--upgrade`: take over the listening sockets of the server that runs. */
  readonly upgrade: boolean;
  /** `-t`, `--test`: only look whether the configuration is valid. */
  readonly test: boolean;
  /** `-h`, `--help`. */
  readonly help: boolean;
}

/** What {@link parseServerArgs} understands, for a program's help text. */
export const SERVER_ARGS_HELP = `  -c, --conf FILE   the configuration
  -d, --daemon      run in the background
  -u, --upgrade     take over the listening sockets of the server that runs, which gets SIGQUIT for it
  -t, --test        check the configuration and exit: 0 valid, 1 not
  -h, --help        this text
`;

/** A command line that is not understood. Its message is one sentence, for people. */
export class UsageError extends TypeError {
  override readonly name = "UsageError";
}

/**
 * @param args Without the names of the runtime and the program.
 * @throws UsageError naming what is not understood.
 */
export function parseServerArgs(args: readonly string[]): ServerArgs {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        conf: { type: "string", short: "c" },
        daemon: { type: "boolean", short: "d" },
        upgrade: { type: "boolean", short: "u" },
        test: { type: "boolean", short: "t" },
        help: { type: "boolean", short: "h" },
      },
    });
    const { conf, daemon = false, upgrade = false, test = false, help = false } = values;
    if (conf === "") throw new UsageError("--conf: expected the name of a file");
    return { conf, daemon, upgrade, test, help };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(firstSentence((error as Error).message), { cause: error });
  }
}

/** Node explains at length how an option could be meant as a file name, which does not apply here. */
function firstSentence(message: string): string {
  const [first = message] = message.split(/\.\s|\n/, 1);
  return first.replace(/\.$/, "");
}
