import { availableParallelism } from "node:os";
import { findExecutable } from "./executable.ts";
import type { Protocol } from "./protocols.ts";

/** What no run can do without, and the Debian package that brings it. */
const REQUIRED: Readonly<Record<string, string>> = {
  wrk: "wrk",
  taskset: "util-linux",
  nginx: "nginx-light", // the origin, also when nginx is not among the contenders
  openssl: "openssl", // makes the certificate
  getconf: "libc-bin",
};

/** The load generator of HTTP/2. */
const FOR_HTTP2: Readonly<Record<string, string>> = { h2load: "nghttp2-client" };

/** Sentences that say what is missing on this machine; empty when a run with these protocols can start. */
export function missingRequirements(protocols: readonly Protocol[]): string[] {
  const http2 = protocols.some(({ contenders }) => contenders.some(({ wire }) => wire.client === "h2"));
  const missing = Object.entries(http2 ? { ...REQUIRED, ...FOR_HTTP2 } : REQUIRED)
    .filter(([program]) => findExecutable(program) === undefined)
    .map(([program, debianPackage]) => `${program} is missing: apt-get install ${debianPackage}`);
  if (process.platform !== "linux") missing.push("CPU time is read from /proc, so this needs Linux");
  if (availableParallelism() < 2)
    missing.push("two cores are needed: one for the proxy, one for its client and its origin");
  return missing;
}
