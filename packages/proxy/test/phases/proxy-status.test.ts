import dns from "node:dns";
import { Server } from "@sluice/core";
import { HttpPeer, httpProxy, ProxyError, type HttpProxyOptions, type ProxyHttp } from "@sluice/proxy";
import { afterEach, describe, expect, test, vi } from "vitest";
import { OK, refusedAddress } from "../support/origin.ts";
import { get, type TestApp } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ answering, startOrigin, startProxy, peerOf }) => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** The field of the answer to a request through this app. */
  async function fieldOf(app: TestApp<object>, options: HttpProxyOptions = {}, request = get()): Promise<unknown> {
    await using proxy = await startProxy(app, options);
    const client = await proxy.send(request);
    const answer = await client.message();
    await proxy.whenFinished();
    return answer.field("proxy-status");
  }

  /** The lookup of `origin.test` fails like this. */
  function lookupFails(code: string): void {
    const { lookup } = dns;
    const error = Object.assign(new Error(`getaddrinfo ${code}`), { code, syscall: "getaddrinfo" });
    const failing = (name: string, options: object, callback: (error: Error | null) => void): void => {
      if (name === "origin.test") setImmediate(callback, error);
      else lookup(name, options, callback);
    };
    vi.spyOn(dns, "lookup").mockImplementation(failing as typeof lookup);
  }

  describe("an answer to a failed request says why", () => {
    test("no connection", async () => {
      const origin = { address: await refusedAddress() };
      expect(await fieldOf({ origin })).toBe("sluice;error=connection_refused");
    });

    test.each([
      ["ENOTFOUND", 502, "dns_error", "is it spelt right"],
      ["EAI_AGAIN", 504, "dns_timeout", "the name server does not answer"],
    ])("a name that cannot be looked up (%s)", async (code, status, reason, hint) => {
      lookupFails(code);
      await using proxy = await startProxy({ origin: new HttpPeer("origin.test:80") });
      const client = await proxy.send(get());
      const answer = await client.message();
      expect([answer.status, answer.field("proxy-status")]).toEqual([status, `sluice;error=${reason}`]);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([
        { type: "ConnectError", proxy_status: reason, hint: expect.stringContaining(hint) },
      ]);
    });

    test("an upstream that does not answer", async () => {
      await using origin = await startOrigin((connection) => connection.whenEnded());
      const peer = peerOf(origin.address, { readMs: 40 });
      expect(await fieldOf({ origin: peer })).toBe("sluice;error=connection_read_timeout");
    });

    test.each<[string, string, () => unknown]>([
      ["a hook that forbids", "http_request_denied", () => ProxyError.httpStatus(403)],
      ["a hook that is overloaded", "proxy_internal_response", () => ProxyError.httpStatus(503)],
      ["a hook with a defect", "proxy_internal_error", () => new Error("boom")],
      ["no peer", "destination_unavailable", () => new ProxyError("NoPeer")],
      ["a configuration that cannot be", "proxy_configuration_error", () => ProxyError.internal("ConfigError")],
    ])("%s", async (_what, reason, makeError) => {
      const upstreamPeer = (): never => {
        throw makeError();
      };
      expect(await fieldOf({ upstreamPeer })).toBe(`sluice;error=${reason}`);
    });

    test("a context that could not be made", async () => {
      await using proxy = await startProxy({
        newCtx() {
          throw new Error("boom");
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).field("proxy-status")).toBe("sluice;error=proxy_internal_error");
    });
  });

  describe("what an app answers", () => {
    test("has no field by default, but for failToProxy and decline", async () => {
      expect(await fieldOf({ requestFilter: (session) => session.respond(403) })).toBeUndefined();
      expect(await fieldOf({ proxyUpstreamFilter: (session) => session.decline() })).toBe(
        "sluice;error=proxy_internal_response",
      );
      const failToProxy: TestApp<object>["failToProxy"] = (session) => {
        session.respond(503);
        return 503;
      };
      const origin = { address: await refusedAddress() };
      expect(await fieldOf({ origin, failToProxy })).toBe("sluice;error=connection_refused");
    });

    test.each([
      [200, "proxy_internal_response"],
      [403, "http_request_denied"],
    ])("has it with on: generated (%d)", async (status, reason) => {
      const options: HttpProxyOptions = { proxyStatus: { on: "generated" } };
      const field = await fieldOf({ requestFilter: (session) => session.respond(status) }, options);
      expect(field).toBe(`sluice;error=${reason}`);
    });

    test("keeps a field of its own, to which ours is added", async () => {
      const errorPage = (): object => ({ fields: { "Proxy-Status": "inner;error=dns_error" } });
      const origin = { address: await refusedAddress() };
      expect(await fieldOf({ origin, errorPage })).toBe("inner;error=dns_error, sluice;error=connection_refused");
    });
  });

  test("what an upstream answered is passed on as it is", async () => {
    await using origin = await answering("HTTP/1.1 502 Bad Gateway\r\nProxy-Status: cdn\r\nContent-Length: 0\r\n\r\n");
    expect(await fieldOf({ origin }, { proxyStatus: { on: "generated" } })).toBe("cdn");
    await using plain = await answering(OK);
    expect(await fieldOf({ origin: plain }, { proxyStatus: { on: "generated" } })).toBeUndefined();
  });

  describe("the option", () => {
    const app: TestApp<object> = {
      upstreamPeer() {
        throw new Error("secret");
      },
    };
    test.each<[unknown, HttpProxyOptions]>([
      [undefined, { proxyStatus: false }],
      ["edge-1;error=proxy_internal_error", { via: "edge-1" }],
      ["sluice;error=proxy_internal_error", { via: false }],
      ["me;error=proxy_internal_error", { via: "edge-1", proxyStatus: { name: "me" } }],
      ["*a/b:80;error=proxy_internal_error", { proxyStatus: { name: "*a/b:80" } }],
      ['"1 \\"a\\" \\\\";error=proxy_internal_error', { proxyStatus: { name: '1 "a" \\' } }],
      [
        'sluice;error=proxy_internal_error;details="our own fault, or an error thrown by the code that uses us"',
        { proxyStatus: { details: true, nextHop: true } },
      ],
    ])("gives %j with %j", async (expected, options) => {
      expect(await fieldOf(app, options)).toBe(expected);
    });

    test("shows the next hop, if one was chosen", async () => {
      const address = await refusedAddress();
      expect(await fieldOf({ origin: { address } }, { proxyStatus: { nextHop: true } })).toBe(
        `sluice;error=connection_refused;next-hop="${address}"`,
      );
    });

    test("shows no details for types of an app's own, and no context ever", async () => {
      const upstreamPeer = (): never => {
        throw new ProxyError("QuotaExceeded", { context: "secret" });
      };
      expect(await fieldOf({ upstreamPeer }, { proxyStatus: { details: true } })).toBe(
        "sluice;error=proxy_internal_error",
      );
    });

    test("what cannot stand in a string is shown as ?", async () => {
      expect(await fieldOf({ origin: new HttpPeer("unix:/nowhere/é") }, { proxyStatus: { nextHop: true } })).toBe(
        'sluice;error=destination_unavailable;next-hop="unix:/nowhere/?"',
      );
    });

    const APP: ProxyHttp<object> = { newCtx: () => ({}), upstreamPeer: () => new HttpPeer("127.0.0.1:1") };
    test.each([
      [{ name: "é" }, /proxyStatus.name: expected printable ASCII/],
      [{ name: "" }, /proxyStatus.name/],
      [{ on: "always" }, /proxyStatus.on: expected/],
      [{ nexthop: true }, /did you mean nextHop/],
    ])("%j is refused at the start", (proxyStatus, message) => {
      expect(() => httpProxy(new Server(), APP, { proxyStatus: proxyStatus as never })).toThrow(message);
    });
  });
});
