import { HttpPeer, ProxyError, type HttpProxyOptions } from "@sluice/proxy";
import { afterEach, describe, expect, test, vi } from "vitest";
import { answering, Origin } from "../support/origin.ts";
import { get, startProxy, type TestApp } from "../support/proxy.ts";

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

describe("an answer to a failed request says why", () => {
  test.each([
    ["nothing", "", "connection_terminated"],
    ["a part of a head", "HTTP/1.1 200", "connection_terminated"],
    ["no HTTP", "SSH-2.0-OpenSSH_9.2p1\r\n", "http_protocol_error"],
    ["a head without end", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}`, "http_response_header_section_size"],
    ["too many fields", `HTTP/1.1 200 OK\r\n${"X: 1\r\n".repeat(300)}\r\n`, "http_response_header_section_size"],
    [
      "an unknown coding",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
      "http_response_transfer_coding",
    ],
  ])("an upstream that says %s and ends", async (_what, response, reason) => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(response).end();
    });
    expect(await fieldOf({ origin })).toBe(`sluice;error=${reason}`);
  });

  test("in the log alone, when the response had begun", async () => {
    await using origin = await answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n");
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get());
    expect((await client.rest()).toString()).not.toContain("Proxy-Status");
    await proxy.whenFinished();
    expect(proxy.errors).toMatchObject([
      { type: "InvalidChunk", proxy_status: "http_response_transfer_coding", cut: true },
    ]);
  });

  test("details speak of the error that the reason speaks of, also where a hook gave another status", async () => {
    const app: TestApp<object> = {
      upstreamPeer: () => new HttpPeer("127.0.0.1:1"),
      failToConnect: (_session, _peer, _ctx, error) => ProxyError.httpStatus(503, "sorry", error),
    };
    expect(await fieldOf(app, { proxyStatus: { details: true } })).toBe(
      'sluice;error=connection_refused;details="the system reported: connection refused"',
    );
  });

  test("a request that cannot be read", async () => {
    expect(await fieldOf({}, {}, "nonsense\r\n\r\n")).toBe("sluice;error=http_request_error");
  });

  test("CONNECT", async () => {
    const request = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
    expect(await fieldOf({}, {}, request)).toBe("sluice;error=http_request_error");
  });
});
