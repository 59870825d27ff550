import { spawn } from "node:child_process";
import { once } from "node:events";
import { ROOT } from "./workspace.ts";

/** A program with its arguments, to be run without a shell. */
export type Command = readonly [program: string, ...args: string[]];

/** How a command ended. */
export interface CommandResult {
  /** 0 for success; 127 when the program could not be started; 1 when a signal ended it. */
  readonly exitCode: number;
  /** Standard output and standard error as they came; empty when they were streamed. */
  readonly output: string;
}

/** Settings of `runCommand`. */
export interface RunOptions {
  /** Default: the root of the workspace. */
  readonly cwd?: string;
  /** Hands the terminal to the command and collects nothing. For commands whose progress one wants to see. */
  readonly stream?: boolean;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which the command is killed. Default: none. */
  readonly timeoutMs?: number;
}

/** Runs `command` to its end. Never rejects: a program that is missing is a result as well, and its output says so. */
export async function runCommand(command: Command, options: RunOptions = {}): Promise<CommandResult> {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    stdio: options.stream === true ? "inherit" : ["ignore", "pipe", "pipe"],
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs, killSignal: "SIGKILL" as const }),
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  try {
    const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    if (signal !== null) output += `\n${program} was ended by ${signal}${limitNote(options)}\n`;
    return { exitCode: code ?? 1, output };
  } catch (error) {
    return { exitCode: 127, output: `${output}${String(error)}\n` };
  }
}

function limitNote({ timeoutMs }: RunOptions): string {
  return timeoutMs === undefined ? "" : ` (it had ${timeoutMs} ms)`;
}

/**
 * Runs `command` and returns its output.
 * @throws with the command and its output when it fails.
 */
export async function expectSuccess(command: Command, options: RunOptions = {}): Promise<string> {
  const { exitCode, output } = await runCommand(command, options);
  if (exitCode !== 0) throw new Error(`${command.join(" ")} exited with ${exitCode}:\n${output}`);
  return output;
}
