import { join } from "node:path";
import type { Certificate } from "../certificate.ts";
import type { ClientOptions } from "../client.ts";
import type { Contender, RunningProxy } from "../contender.ts";
import { freePort } from "../free-port.ts";
import type { Origin } from "../origin.ts";
import { findFaults } from "../verify.ts";
import type { Workload } from "../workload.ts";
import { holdConnections } from "./held-connections.ts";
import { settledResidentKb } from "./resident-memory.ts";

/** One measurement of one proxy. */
export interface IdleMeasurement {
  readonly contender: Contender;
  readonly origin: Origin;
  readonly certificate: Certificate;
  /** A temporary folder of its own. */
  readonly folder: string;
  /** What each connection asks for. */
  readonly workload: Workload;
  readonly connections: number;
  readonly signal: AbortSignal;
}

/** What came of it: figures, or the reasons why there are none. */
export type IdleSample = IdleFigures | { readonly kind: "invalid"; readonly faults: readonly string[] };

/** Resident memory of the proxy, in KB: after the warm-up, and with the connections. */
export interface IdleFigures {
  readonly kind: "figures";
  readonly beforeKb: number;
  readonly afterKb: number;
}

/** Few connections, so that as few to the origin are open before as after. */
const AT_ONCE = 8;
const WARM_UP_REQUESTS = 512;

/**
 * Starts a proxy, warms it up, reads its memory, opens the connections with one request each, reads its memory and stops it.
 * The answers are checked, and that all connections are still open at the end. Throws only when aborted.
 */
export async function measureIdle(measurement: IdleMeasurement): Promise<IdleSample> {
  const { contender, origin, certificate, folder, signal } = measurement;
  let proxy: RunningProxy | undefined;
  try {
    const port = await freePort();
    const originPort = origin.ports[contender.wire.origin];
    proxy = await contender.start({ port, originPort, certificate, folder: join(folder, String(port)) });
    const client = { port, wire: contender.wire, ca: certificate.pem };
    return await measureRunning(proxy, client, measurement);
  } catch (error) {
    signal.throwIfAborted();
    const ending = proxy?.ending();
    return { kind: "invalid", faults: [(error as Error).message, ...(ending ? [`the proxy ${ending}`] : [])] };
  } finally {
    await proxy?.stop();
  }
}

async function measureRunning(
  proxy: RunningProxy,
  client: ClientOptions,
  measurement: IdleMeasurement,
): Promise<IdleSample> {
  const { contender, workload, connections, signal } = measurement;
  const clients = { client, atOnce: AT_ONCE, exchange: workload.timed, signal };
  const faults = await findFaults(client, workload, contender.hooks);

  const requestsEach = WARM_UP_REQUESTS / AT_ONCE;
  using warm = await holdConnections({ ...clients, connections: AT_ONCE, requestsEach });
  const beforeKb = await settledResidentKb(proxy.pid, signal);
  using held = await holdConnections({ ...clients, connections, requestsEach: 1 });
  const afterKb = await settledResidentKb(proxy.pid, signal);

  const closed = warm.closed() + held.closed();
  if (closed > 0) faults.push(`${closed} connections were closed meanwhile`);
  faults.push(...(await findFaults(client, workload, contender.hooks)));
  return faults.length > 0 ? { kind: "invalid", faults } : { kind: "figures", beforeKb, afterKb };
}
