import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LOAD_CORE } from "./cores.ts";
import { freePort } from "./free-port.ts";
import { startNginx } from "./nginx.ts";

/** The server behind every proxy. */
export interface Origin {
  readonly port: number;
  readonly bodies: readonly Body[];
  stop(): Promise<unknown>;
}

/** A file the origin serves. */
export interface Body {
  readonly bytes: number;
  readonly path: string;
  readonly sha256: string;
}

/** Answers with the value of `x-bench` as it arrived: shows that a proxy's request hook ran. */
export const ECHO_PATH = "/x-bench";

/** Starts nginx on the load core, serving one file of random bytes for each size (in bytes). `folder` is a temporary one. */
export async function startOrigin(folder: string, sizes: readonly number[]): Promise<Origin> {
  const root = join(folder, "files");
  await mkdir(root);
  const bodies = await Promise.all(sizes.map((bytes) => writeBody(root, bytes)));
  // The temporary folder is private, nginx's worker another user when this runs as root.
  await chmod(folder, 0o755);
  const port = await freePort();
  const http = `
  sendfile on;
  tcp_nopush on;
  open_file_cache max=64 inactive=3600s;
  open_file_cache_valid 3600s;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${root};
    location = ${ECHO_PATH} { return 200 "$http_x_bench"; }
  }`;
  const child = await startNginx({ folder: join(folder, "origin"), core: LOAD_CORE, port, http });
  return { port, bodies, stop: () => child.stop() };
}

async function writeBody(root: string, bytes: number): Promise<Body> {
  const content = randomBytes(bytes);
  const name = `${bytes}.bin`;
  await writeFile(join(root, name), content, { mode: 0o644 });
  return { bytes, path: `/${name}`, sha256: createHash("sha256").update(content).digest("hex") };
}
