import { parseArgs } from "node:util";

/** What a program that runs Sluice was started with. Ports are of 127.0.0.1. */
export interface SluiceArgs {
  readonly port: number;
  readonly originPort: number;
  /** Whether clients speak HTTP/2, and whether the origin does. */
  readonly clientH2: boolean;
  readonly originH2: boolean;
  /** Files in PEM: with them clients come by TLS. */
  readonly certificate: { readonly cert: string; readonly key: string } | undefined;
}

/** Reads the command line of a contender; see `NodeProgram`. */
export function sluiceArgs(): SluiceArgs {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      "client-h2": { type: "boolean", default: false },
      "origin-h2": { type: "boolean", default: false },
      cert: { type: "string" },
      key: { type: "string" },
    },
  });
  const [port, originPort] = positionals.map(Number);
  if (!port || !originPort)
    throw new Error("usage: node PROGRAM.ts PORT ORIGIN_PORT [--client-h2] [--origin-h2] [--cert FILE --key FILE]");
  const { cert, key } = values;
  const certificate = cert !== undefined && key !== undefined ? { cert, key } : undefined;
  return { port, originPort, clientH2: values["client-h2"], originH2: values["origin-h2"], certificate };
}
