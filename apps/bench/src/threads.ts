// Throughput with two workers against one: `node apps/bench/src/threads.ts [--rounds 5] [--seconds 3]`. Each request costs 200 µs in a
// hook, so that the load generator, which shares the two cores, takes a small part of them.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { freePort } from "./free-port.ts";
import { parseWrk } from "./wrk.ts";

const WORK_US = 200;
const PROGRAM = fileURLToPath(new URL("proxies/threads.ts", import.meta.url));

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "3" } },
});
const run = promisify(execFile);

async function throughput(threads: number): Promise<number> {
  const port = await freePort();
  const server = spawn(process.execPath, [PROGRAM, String(port), String(threads), String(WORK_US)], {
    stdio: "ignore",
  });
  try {
    while (!(await listens(port))) await sleep(50);
    const args = ["-t1", "-c64", "--latency", `http://127.0.0.1:${port}/`];
    await run("wrk", ["-d1s", ...args]);
    const { stdout } = await run("wrk", [`-d${values.seconds}s`, ...args]);
    const { requestsPerSecond, badStatuses, socketErrors } = parseWrk(stdout);
    if (badStatuses + socketErrors > 0) throw new Error(`${badStatuses} bad answers, ${socketErrors} socket errors`);
    return requestsPerSecond;
  } finally {
    const ended = once(server, "exit");
    server.kill("SIGTERM");
    await ended;
  }
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

const ratios: number[] = [];
for (let round = 1; round <= Number(values.rounds); round++) {
  const one = await throughput(1);
  const two = await throughput(2);
  ratios.push(two / one);
  console.log(
    `round ${round}: 1 process ${one.toFixed(0)}/s, 2 workers ${two.toFixed(0)}/s, ratio ${(two / one).toFixed(2)}`,
  );
}
const middle = ratios.toSorted((one, other) => one - other)[Math.floor(ratios.length / 2)]!;
console.log(`median ratio ${middle.toFixed(2)}, on ${availableParallelism()} cores that the load generator shares`);
