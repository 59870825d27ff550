import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startChild } from "../child.ts";
import type { Contender, Place } from "../contender.ts";
import { PROXY_CORE } from "../cores.ts";
import { findExecutable } from "../executable.ts";
import type { Wire } from "../wire.ts";

/** Caddy, with as many idle connections to the origin as the others keep, otherwise as it comes. */
export function caddy(wire: Wire): Contender {
  return {
    name: "caddy",
    hooks: false,
    wire,
    available() {
      const program = findExecutable("caddy");
      if (program === undefined) return { kind: "missing", reason: "apt-get install caddy" };
      const text = execFileSync(program, ["version"], { encoding: "utf8" });
      return { kind: "available", version: /\d[\w.~+-]*/.exec(text)?.[0] ?? "unknown" };
    },
    async start(place) {
      await mkdir(place.folder, { recursive: true });
      const file = join(place.folder, "Caddyfile");
      await writeFile(file, caddyfile(wire, place));
      return startChild({
        command: findExecutable("caddy") ?? "caddy",
        args: ["run", "--adapter", "caddyfile", "--config", file],
        core: PROXY_CORE,
        port: place.port,
        env: { XDG_CONFIG_HOME: place.folder, XDG_DATA_HOME: place.folder }, // it saves what it was given
      });
    },
  };
}

function caddyfile(wire: Wire, { port, originPort, certificate }: Place): string {
  const clients = wire.client === "h2" ? `h1 ${wire.tls ? "h2" : "h2c"}` : "h1"; // it takes no h2c without h1
  return `
{
  admin off
  auto_https off
  servers {
    protocols ${clients}
    timeouts {
      idle 1h
    }
  }
}
# Whatever host a request names.
${wire.tls ? "https" : "http"}://:${port} {
  bind 127.0.0.1
  ${wire.tls ? `tls ${certificate.certFile} ${certificate.keyFile} {\n    protocols tls1.3\n  }` : ""}
  reverse_proxy ${wire.origin === "h2" ? "h2c://" : ""}127.0.0.1:${originPort} {
    transport http {
      ${wire.origin === "h2" ? "versions h2c 2" : "versions 1.1"}
      keepalive 1h
      keepalive_idle_conns_per_host 128
    }
  }
}
`;
}
