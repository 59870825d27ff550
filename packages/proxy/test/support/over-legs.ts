import type { RequestListener } from "node:http";
import type { ServerConf } from "@sluice/core";
import { HttpPeer, type HttpProxyOptions, type PeerOptions } from "@sluice/proxy";
import { describe, expect } from "vitest";
import { CERTIFICATE, LEGS, peerOptions, type Leg } from "../../../../test/matrix/legs.ts";
import { opensslTls } from "../../../tls-openssl/src/index.ts";
import type { Message } from "./message.ts";
import { answeringOn, nodeOrigin, Origin, type OriginScript } from "./origin.ts";
import { TestProxy, type TestApp } from "./proxy.ts";
import type { Wire } from "./wire.ts";

/** What the tests of a leg are made of: client, proxy and origin speak its versions. */
export interface Line {
  readonly leg: Leg;
  readonly startOrigin: (script: OriginScript) => Promise<Origin>;
  /** An origin that answers every request with the same bytes. */
  readonly answering: (...parts: (string | Uint8Array)[]) => Promise<Origin>;
  /** An origin by Node's own server. */
  readonly nodeOrigin: (listener: RequestListener) => ReturnType<typeof nodeOrigin>;
  readonly startProxy: <Ctx = object>(
    app: TestApp<Ctx>,
    options?: HttpProxyOptions,
    conf?: Partial<ServerConf>,
  ) => Promise<TestProxy<Ctx>>;
  /** How to get to an origin of the leg. */
  readonly peerOf: (address: string, options?: PeerOptions) => HttpPeer;
  /** Of an answer with which HTTP/1 gives the connection up: its Connection field. */
  readonly closing: "close" | undefined;
  /** An answer after which HTTP/1 closes, as the request was not read; HTTP/2 goes on with its other streams. */
  readonly expectLast: (client: Wire, answer: Message) => Promise<void>;
}

/**
 * Runs the tests for each leg. They write and read messages as HTTP/1.1 spells them; where the version
 * of the leg is another, the same messages go by that one, and what comes is shown so. What only HTTP/1 can say is tested in `../http1`.
 */
export function overLegs(tests: (line: Line) => void): void {
  describe.each(LEGS)("$name", (leg) => {
    tests(lineOf(leg));
  });
}

function lineOf(leg: Leg): Line {
  return {
    leg,
    startOrigin: (script) => Origin.start(script, leg),
    answering: (...parts) => answeringOn(leg, ...parts),
    nodeOrigin: (listener) => nodeOrigin(listener, leg),
    startProxy: (app, options = {}, conf = {}) =>
      TestProxy.start(
        app,
        { tls: opensslTls(), ...options, http2: { h2c: true, ...options.http2 } },
        conf,
        (service) =>
          leg.tls
            ? service.listenTls("127.0.0.1:0", { certificates: [CERTIFICATE] })
            : service.listenTcp("127.0.0.1:0"),
        leg,
      ),
    closing: leg.downstream === 1 ? "close" : undefined,
    expectLast: async (client, answer) => {
      expect(answer.field("connection")).toBe(leg.downstream === 1 ? "close" : undefined);
      if (leg.downstream === 1) expect((await client.rest()).toString()).toBe("");
      expect(client.error).toBeUndefined();
    },
    peerOf: (address, options = {}) => new HttpPeer(address, { ...peerOptions(leg), ...options }),
  };
}
