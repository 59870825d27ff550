/** Builds every package into its `dist`; what did not change since the last build is taken from turbo's cache. */

import { pnpm } from "./pnpm.ts";
import { expectSuccess, runCommand, type Command } from "./run-command.ts";

/** Neither turbo nor anything it starts reports home. */
export const BUILD_ENV: Readonly<Record<string, string>> = { TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" };

/** Through pnpm, because turbo looks for the package manager in PATH. */
export function buildCommand(): Promise<Command> {
  return pnpm("exec", "turbo", "run", "build", "--continue=dependencies-successful", "--output-logs=errors-only");
}

/** @throws with the compiler's output when a package does not build. */
export async function build(): Promise<void> {
  await expectSuccess(await buildCommand(), { env: BUILD_ENV });
}

if (import.meta.main) {
  const { exitCode } = await runCommand(await buildCommand(), { env: BUILD_ENV, stream: true });
  process.exitCode = exitCode;
}
