import { ProxyError } from "@sluice/error";
import { RequestHeader } from "@sluice/http";
import type { Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { GatewayApp, type GatewayContext } from "./gateway-app.ts";
import { Router } from "./router.ts";
import { Upstream } from "./upstream.ts";

const SERVERS = ["127.0.0.1:1", "127.0.0.1:2"];

function refused(): ProxyError {
  return ProxyError.upstream("ConnectRefused");
}

function dead(): ProxyError {
  return new ProxyError("ConnectionClosed", { source: "upstream", retry: "reusedOnly" });
}

/** A request that was routed to an upstream with `servers`. */
function routed(method: string, servers: string[]): { app: GatewayApp; session: Session; ctx: GatewayContext } {
  const upstream = new Upstream("u", {
    selection: "round_robin",
    healthCheck: undefined,
    peer: {},
    servers: servers.map((address) => ({ address, weight: 1 })),
  });
  const app = new GatewayApp(new Router([{ host: undefined, pathPrefix: "/", target: upstream }]));
  const session = { request: RequestHeader.build(method, "/"), sentMethod: method } as Session;
  const ctx = app.newCtx();
  void app.requestFilter(session, ctx);
  return { app, session, ctx };
}

describe("a server that cannot be connected to", () => {
  test("is passed over until each was tried once", () => {
    const { app, session, ctx } = routed("POST", SERVERS);
    const first = app.upstreamPeer(session, ctx);
    expect(app.failToConnect(session, first, ctx, refused()).shouldRetry()).toBe(true);
    const second = app.upstreamPeer(session, ctx);
    expect([first.address.text, second.address.text].toSorted()).toEqual(SERVERS);
    expect(app.failToConnect(session, second, ctx, refused()).shouldRetry()).toBe(false);
  });

  test("for a reason of ours, is no reason to try another", () => {
    const { app, session, ctx } = routed("GET", SERVERS);
    const peer = app.upstreamPeer(session, ctx);
    expect(app.failToConnect(session, peer, ctx, ProxyError.internal("BindError")).shouldRetry()).toBe(false);
  });
});

describe("a reused connection that was dead", () => {
  test("sends a GET elsewhere", () => {
    const { app, session, ctx } = routed("GET", SERVERS);
    const peer = app.upstreamPeer(session, ctx);
    expect(app.errorWhileProxy(peer, session, dead(), ctx, true).shouldRetry()).toBe(true);
    expect(app.upstreamPeer(session, ctx)).not.toBe(peer);
  });

  test("sends a GET to the same server if there is no other", () => {
    const { app, session, ctx } = routed("GET", SERVERS.slice(0, 1));
    const peer = app.upstreamPeer(session, ctx);
    expect(app.errorWhileProxy(peer, session, dead(), ctx, true).shouldRetry()).toBe(true);
    expect(app.upstreamPeer(session, ctx)).toBe(peer);
  });

  test("fails a POST, which the server may have processed", () => {
    const { app, session, ctx } = routed("POST", SERVERS);
    const peer = app.upstreamPeer(session, ctx);
    expect(app.errorWhileProxy(peer, session, dead(), ctx, true).shouldRetry()).toBe(false);
  });
});
