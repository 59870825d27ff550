import { HttpConnector, Server } from "@sluice/core";
import { describe, expect, test } from "vitest";
import { HttpProxy, httpProxy } from "./http-proxy.ts";
import type { ProxyHttp } from "./proxy-http.ts";

const APP: ProxyHttp<object> = {
  newCtx: () => ({}),
  upstreamPeer() {
    throw new Error("not called here");
  },
};

describe("misuse is told at the start", () => {
  test.each(["newCtx", "upstreamPeer"] as const)("an app without %s", (hook) => {
    const app = { ...APP, [hook]: undefined } as unknown as ProxyHttp<object>;
    expect(() => httpProxy(new Server(), app)).toThrow(`HttpProxy: the app has no ${hook}()`);
  });

  test("no app", () => {
    expect(() => httpProxy(new Server(), undefined as unknown as ProxyHttp<object>)).toThrow(TypeError);
  });

  test.each([0, -1, 1.5, Number.NaN])("maxAttempts %d", (maxAttempts) => {
    expect(() => httpProxy(new Server(), APP, { maxAttempts })).toThrow(RangeError);
  });

  test("a Via that cannot stand in a head", () => {
    expect(() => httpProxy(new Server(), APP, { via: "a\r\nb" })).toThrow("via");
  });

  test("an option of HTTP/1 that is out of range", () => {
    expect(() => httpProxy(new Server(), APP, { http1: { bodyMs: -1 } })).toThrow(/bodyMs/);
  });
});

test("options win over the server's configuration", () => {
  const server = new Server({ max_retries: 5 });
  expect(httpProxy(server, APP).proxy.maxAttempts).toBe(5);
  const service = httpProxy(server, APP, { maxAttempts: 2, name: "edge", via: "edge-1" });
  expect([service.proxy.maxAttempts, service.name, service.proxy.via]).toEqual([2, "edge", "edge-1"]);
  expect(new HttpProxy(APP, new HttpConnector(), 1, undefined).via).toBeUndefined();
});
