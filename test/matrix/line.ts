import type { HttpProxyOptions, PeerOptions } from "../../packages/proxy/src/index.ts";
import { opensslTls } from "../../packages/tls-openssl/src/index.ts";
import { TestProxy, type TestApp } from "../../packages/proxy/test/support/proxy.ts";
import { CERTIFICATE, type Leg } from "./legs.ts";
import { matrixClient, type MatrixClient } from "./matrix-client.ts";
import { matrixOrigin, type MatrixOrigin, type Visit } from "./matrix-origin.ts";

/** A client, a proxy and an origin, in the versions of a leg. */
export interface Line extends AsyncDisposable {
  readonly client: MatrixClient;
  readonly proxy: TestProxy<object>;
  readonly origin: MatrixOrigin;
  /** Requests that reached the origin. */
  readonly visits: Visit[];
}

export interface LineOptions extends HttpProxyOptions {
  readonly peer?: PeerOptions;
}

/** @param visited Answers at the origin; by default with 200 and no body. */
export async function line(
  leg: Leg,
  visited: (visit: Visit) => unknown = (visit) => visit.answer(200),
  app: TestApp<object> = {},
  { peer, ...options }: LineOptions = {},
): Promise<Line> {
  const visits: Visit[] = [];
  const origin = await matrixOrigin(leg, (visit) => {
    visits.push(visit);
    return visited(visit);
  });
  const to = peer === undefined ? origin.peer : origin.peerWith(peer);
  const proxy = await TestProxy.start(
    { origin: to, ...app },
    { tls: opensslTls(), ...options, http2: { h2c: true, ...options.http2 } },
    {},
    (service) =>
      leg.tls ? service.listenTls("127.0.0.1:0", { certificates: [CERTIFICATE] }) : service.listenTcp("127.0.0.1:0"),
  );
  const client = matrixClient(leg, proxy.address);
  return {
    client,
    proxy,
    origin,
    visits,
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}
