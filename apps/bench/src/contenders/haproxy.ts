import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startChild } from "../child.ts";
import type { Contender } from "../contender.ts";
import { PROXY_CORE } from "../cores.ts";
import { findExecutable } from "../executable.ts";

/** HAProxy, one thread, upstream connections shared by all clients, otherwise as it comes. */
export const haproxy: Contender = {
  name: "haproxy",
  hooks: false,
  available() {
    const program = findExecutable("haproxy");
    if (program === undefined) return { kind: "missing", reason: "apt-get install haproxy" };
    const text = execFileSync(program, ["-v"], { encoding: "utf8" });
    return { kind: "available", version: /version (\S+)/.exec(text)?.[1] ?? "unknown" };
  },
  async start({ port, originPort, folder }) {
    await mkdir(folder, { recursive: true });
    const file = join(folder, "haproxy.cfg");
    await writeFile(file, haproxyConfig(port, originPort));
    return startChild({
      command: findExecutable("haproxy") ?? "haproxy",
      args: ["-db", "-f", file], // -db: in the foreground
      core: PROXY_CORE,
      port,
    });
  },
};

function haproxyConfig(port: number, originPort: number): string {
  return `
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
  http-reuse always
frontend clients
  bind 127.0.0.1:${port} backlog 4096
  default_backend origin
backend origin
  server origin 127.0.0.1:${originPort} pool-max-conn 128 pool-purge-delay 3600s
`;
}
