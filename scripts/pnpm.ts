import path from "node:path";
import type { Command } from "./run-command.ts";
import { ROOT, readManifest } from "./workspace.ts";

/**
 * The command line that runs pnpm with `args`.
 * Started by pnpm, we go on with the very same; otherwise npx brings the version that `package.json` pins, since a machine
 * with Node.js has npx but need not have pnpm.
 */
export async function pnpm(...args: string[]): Promise<Command> {
  const running = process.env["npm_execpath"];
  if (running !== undefined && path.basename(running).startsWith("pnpm")) {
    return /\.[cm]?js$/.test(running) ? [process.execPath, running, ...args] : [running, ...args];
  }
  const { packageManager = "pnpm" } = await readManifest(ROOT);
  return ["npx", "--yes", "--loglevel=error", packageManager, ...args];
}
