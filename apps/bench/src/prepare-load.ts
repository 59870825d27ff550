import type { Certificate } from "./certificate.ts";
import { h2load } from "./h2load.ts";
import { handshakes } from "./handshakes.ts";
import type { Load } from "./load.ts";
import type { Wire } from "./wire.ts";
import type { Workload } from "./workload.ts";
import { prepareWrkRequest } from "./wrk-request.ts";
import { wrk } from "./wrk.ts";

/** Where files go, and whom a client by TLS trusts. */
export interface LoadPlace {
  readonly folder: string;
  readonly certificate: Certificate;
}

/** Chooses the program: wrk for HTTP/1, h2load for HTTP/2, one of ours where each request has a connection of its own. */
export async function prepareLoad(workload: Workload, wire: Wire, { folder, certificate }: LoadPlace): Promise<Load> {
  const { timed, handshake } = workload;
  if (handshake !== undefined) return handshakes(timed, handshake, certificate);
  if (wire.client === "h2") return h2load(timed.request, wire, folder);
  return wrk(await prepareWrkRequest(timed.request, folder), wire);
}
