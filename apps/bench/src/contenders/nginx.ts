import { spawnSync } from "node:child_process";
import type { Certificate } from "../certificate.ts";
import type { Contender } from "../contender.ts";
import { PROXY_CORE } from "../cores.ts";
import { findExecutable } from "../executable.ts";
import { startNginx } from "../nginx.ts";
import type { Wire } from "../wire.ts";

/** The yardstick: nginx with buffers that suit the workloads, so that the comparison is with nginx at its best. */
export function nginx(wire: Wire): Contender {
  return nginxContender("nginx", wire, LARGE_BUFFERS);
}

/**
 * nginx with the buffers that it comes with: 8 of 4 KB for a response, which beyond them goes partly through a temporary file, and
 * 16 KB for an upload, which is passed on as it comes as all others do it. The project's bars are set against this one.
 */
export function nginxStockBuffers(wire: Wire): Contender {
  return nginxContender("nginx-stock-buffers", wire, "proxy_request_buffering off;");
}

const LARGE_BUFFERS = `
  # 16 KB pieces in place of 4 KB ones, and no response through a file: which halves the price of 64 KB and 1 MB.
  proxy_buffer_size 16k;
  proxy_buffers 16 16k;
  proxy_max_temp_file_size 0;
  # An upload goes on as it comes and by way of no file, 256 KB at a time as responses: less than half the price of 16 KB.
  proxy_request_buffering off;
  client_body_buffer_size 256k;`;

/** HTTP/2 to an origin nginx cannot speak. */
function nginxContender(name: string, wire: Wire, buffers: string): Contender {
  return {
    name,
    hooks: false,
    wire,
    available() {
      const program = findExecutable("nginx");
      if (program === undefined) return { kind: "missing", reason: "apt-get install nginx-light" };
      const { stderr } = spawnSync(program, ["-v"], { encoding: "utf8" }); // that is where nginx prints it
      return { kind: "available", version: /nginx\/(\S+)/.exec(stderr)?.[1] ?? "unknown" };
    },
    start: ({ port, originPort, folder, certificate }) =>
      startNginx({
        folder,
        core: PROXY_CORE,
        port,
        http: `${buffers}
  upstream origin {
    server 127.0.0.1:${originPort};
    keepalive 128;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
  }
  server {
    listen 127.0.0.1:${port} ${wire.tls ? "ssl" : ""} ${wire.client === "h2" ? "http2" : ""} backlog=4096;
    ${wire.tls ? tlsConfig(certificate) : ""}
    client_max_body_size 0;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }`,
      }),
  };
}

/** Sessions are resumed by tickets, not from a cache, as with the others. */
function tlsConfig({ certFile, keyFile }: Certificate): string {
  return `
    ssl_certificate ${certFile};
    ssl_certificate_key ${keyFile};
    ssl_protocols TLSv1.3;
    ssl_session_tickets on;`;
}
