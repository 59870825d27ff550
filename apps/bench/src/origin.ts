import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LOAD_CORE } from "./cores.ts";
import { freePort } from "./free-port.ts";
import { startNginx } from "./nginx.ts";
import type { Wire } from "./wire.ts";
import type { Workload } from "./workload.ts";

/** The server behind every proxy, with a port for HTTP/1 and one for HTTP/2 by prior knowledge. */
export interface Origin extends AsyncDisposable {
  /** By what they speak. */
  readonly ports: Readonly<Record<Wire["origin"], number>>;
}

/** Answers with the value of `x-bench` as it arrived: shows that a proxy's request hook ran. */
export const ECHO_PATH = "/x-bench";

/** Starts nginx on the load core, with all that the workloads need. `folder` is a temporary one. */
export async function startOrigin(folder: string, workloads: readonly Workload[]): Promise<Origin> {
  const root = join(folder, "files");
  await mkdir(root);
  for (const { path, content } of workloads.flatMap(({ files }) => files))
    await writeFile(join(root, path), content, { mode: 0o644 });
  // The temporary folder is private, nginx's worker another user when this runs as root.
  await chmod(folder, 0o755);
  const ports = { h1: await freePort(), h2: await freePort() };
  const http = `
  sendfile on;
  tcp_nopush on;
  open_file_cache max=64 inactive=3600s;
  open_file_cache_valid 3600s;
  upstream itself {
    server 127.0.0.1:${ports.h1};
    keepalive 128;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
  }
  server {
    listen 127.0.0.1:${ports.h1} backlog=4096;
    listen 127.0.0.1:${ports.h2} http2 backlog=4096;
    root ${root};
    location = ${ECHO_PATH} { return 200 "$http_x_bench"; }
${workloads.map(({ locations }) => locations).join("\n")}
  }`;
  const child = await startNginx({ folder: join(folder, "origin"), core: LOAD_CORE, port: ports.h1, http });
  return { ports, [Symbol.asyncDispose]: async () => void (await child.stop()) };
}
