import { readFileSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { fileURLToPath } from "node:url";
import type { Certificate } from "../certificate.ts";
import { startChild } from "../child.ts";
import type { Contender } from "../contender.ts";
import { PROXY_CORE } from "../cores.ts";
import { HTTP1, type Wire } from "../wire.ts";

/** A contender that is a program of `src/proxies`, run by the Node.js that runs this. */
export interface NodeProgram {
  readonly name: string;
  /**
   * File name in `src/proxies`. Gets the port to listen on and the origin's port as arguments; then `--client-h2`, `--origin-h2`,
   * `--cert FILE` and `--key FILE` where `wire` differs from HTTP/1 without TLS.
   */
  readonly program: string;
  /** The npm package it is built on: its version is reported, without it the contender is skipped. */
  readonly npmPackage: string;
  readonly hooks?: boolean;
  /** Default: HTTP/1 without TLS, to both sides. */
  readonly wire?: Wire;
  readonly stopSignal?: NodeJS.Signals;
}

/** Makes a contender of a program. */
export function nodeProgram({
  name,
  program,
  npmPackage,
  hooks = false,
  wire = HTTP1,
  stopSignal = "SIGTERM",
}: NodeProgram): Contender {
  const file = fileURLToPath(new URL(`../proxies/${program}`, import.meta.url));
  return {
    name,
    hooks,
    wire,
    available() {
      const version = installedVersion(npmPackage);
      if (version === undefined) return { kind: "missing", reason: `${npmPackage} is not installed: pnpm install` };
      return { kind: "available", version };
    },
    start: ({ port, originPort, certificate }) =>
      startChild({
        command: process.execPath,
        args: [file, String(port), String(originPort), ...wireArgs(wire, certificate)],
        core: PROXY_CORE,
        port,
        stopSignal,
      }),
  };
}

function wireArgs({ client, tls, origin }: Wire, { certFile, keyFile }: Certificate): string[] {
  return [
    ...(client === "h2" ? ["--client-h2"] : []),
    ...(origin === "h2" ? ["--origin-h2"] : []),
    ...(tls ? ["--cert", certFile, "--key", keyFile] : []),
  ];
}

function installedVersion(npmPackage: string): string | undefined {
  try {
    const file = findPackageJSON(npmPackage, import.meta.url);
    if (file === undefined) return undefined;
    return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
  } catch {
    return undefined;
  }
}
