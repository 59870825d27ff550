import { spawnSync } from "node:child_process";
import type { Contender } from "../contender.ts";
import { PROXY_CORE } from "../cores.ts";
import { findExecutable } from "../executable.ts";
import { startNginx } from "../nginx.ts";

/** The yardstick: nginx with buffers that suit the workloads, so that the comparison is with nginx at its best. */
export const nginx: Contender = nginxContender(
  "nginx",
  `
  # 16 KB pieces in place of 4 KB ones, and no response through a file: which halves the price of 64 KB and 1 MB.
  proxy_buffer_size 16k;
  proxy_buffers 16 16k;
  proxy_max_temp_file_size 0;
  # An upload goes on as it comes and by way of no file, 256 KB at a time as responses: less than half the price of 16 KB.
  proxy_request_buffering off;
  client_body_buffer_size 256k;`,
);

/** nginx as it comes: 8 buffers of 4 KB, longer responses partly through a temporary file, longer uploads wholly. */
export const nginxStockBuffers: Contender = nginxContender("nginx-stock-buffers", "");

function nginxContender(name: string, buffers: string): Contender {
  return {
    name,
    hooks: false,
    available() {
      const program = findExecutable("nginx");
      if (program === undefined) return { kind: "missing", reason: "apt-get install nginx-light" };
      const { stderr } = spawnSync(program, ["-v"], { encoding: "utf8" }); // that is where nginx prints it
      return { kind: "available", version: /nginx\/(\S+)/.exec(stderr)?.[1] ?? "unknown" };
    },
    start: ({ port, originPort, folder }) =>
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
    listen 127.0.0.1:${port} backlog=4096;
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
