import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startChild } from "../child.ts";
import type { Contender, Place } from "../contender.ts";
import { PROXY_CORE } from "../cores.ts";
import { findExecutable } from "../executable.ts";
import type { Wire } from "../wire.ts";

/** HAProxy, one thread, upstream connections shared by all clients, otherwise as it comes. */
export function haproxy(wire: Wire): Contender {
  return {
    name: "haproxy",
    hooks: false,
    wire,
    available() {
      const program = findExecutable("haproxy");
      if (program === undefined) return { kind: "missing", reason: "apt-get install haproxy" };
      const text = execFileSync(program, ["-v"], { encoding: "utf8" });
      return { kind: "available", version: /version (\S+)/.exec(text)?.[1] ?? "unknown" };
    },
    async start(place) {
      await mkdir(place.folder, { recursive: true });
      const file = join(place.folder, "haproxy.cfg");
      await writeFile(file, haproxyConfig(wire, place));
      return startChild({
        command: findExecutable("haproxy") ?? "haproxy",
        args: ["-db", "-f", file], // -db: in the foreground
        core: PROXY_CORE,
        port: place.port,
      });
    },
  };
}

function haproxyConfig(wire: Wire, { port, originPort, certificate }: Place): string {
  const alpn = wire.client === "h2" ? "h2" : "http/1.1";
  const tls = `ssl crt ${certificate.bothFile} ssl-min-ver TLSv1.3 alpn ${alpn}`;
  const clear = wire.client === "h2" ? "proto h2" : "";
  const originProtocol = wire.origin === "h2" ? "proto h2" : "";
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
  bind 127.0.0.1:${port} backlog 4096 ${wire.tls ? tls : clear}
  default_backend origin
backend origin
  server origin 127.0.0.1:${originPort} pool-max-conn 128 pool-purge-delay 3600s ${originProtocol}
`;
}
