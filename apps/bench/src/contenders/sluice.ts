import type { Contender } from "../contender.ts";
import type { Wire } from "../wire.ts";
import { nodeProgram } from "./node-program.ts";

/** Sluice with its hooks on. TLS is a package of its own, hence a program of its own: the other does not load it. */
export function sluice(wire: Wire, { name = "sluice", program }: { name?: string; program?: string } = {}): Contender {
  return nodeProgram({
    name,
    program: program ?? (wire.tls ? "sluice-tls.ts" : "sluice.ts"),
    npmPackage: wire.tls ? "@sluice/tls-openssl" : "@sluice/proxy",
    hooks: true,
    wire,
    stopSignal: "SIGINT", // stops at once; SIGTERM would first drain
  });
}
