import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startChild, type Child } from "./child.ts";
import { findExecutable } from "./executable.ts";

/** An nginx of our own: one worker, no access log, all its files in one folder. */
export interface NginxOptions {
  /** A folder of its own inside the run's temporary folder; created when missing. */
  readonly folder: string;
  readonly core: number;
  readonly port: number;
  /** Directives of the `http` block, after the common ones. */
  readonly http: string;
}

/** Starts nginx in the foreground and waits until it listens. */
export async function startNginx({ folder, core, port, http }: NginxOptions): Promise<Child> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, "nginx.conf");
  await writeFile(file, nginxConfig(folder, http));
  const command = findExecutable("nginx") ?? "nginx";
  return startChild({ command, args: ["-p", folder, "-c", file, "-e", "stderr"], core, port });
}

function nginxConfig(folder: string, http: string): string {
  return `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
lock_file ${folder}/nginx.lock;
error_log stderr warn;
events { worker_connections 16384; }
http {
  access_log off;
  default_type application/octet-stream;
  # No connection ends during a run, so none of its cost is in the figures.
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  client_body_temp_path ${folder}/client_body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
${http}
}
`;
}
