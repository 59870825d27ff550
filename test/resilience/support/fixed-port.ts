import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/**
 * A free port that stays free while its server is down. Those that port 0 gives are also given to outgoing connections; one
 * of them could take it before the server is back, or connect to itself.
 */
export async function fixedPort(): Promise<number> {
  const range = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "latin1");
  const firstGiven = Number(range.trim().split(/\s+/)[0]);
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * (firstGiven - FIRST_PORT));
    if (await isFree(port)) return port;
  }
}

const FIRST_PORT = 10_000;

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
