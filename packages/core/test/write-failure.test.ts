import { once } from "node:events";
import { RequestHeader } from "@sluice/http";
import { beforeEach, describe, expect, test } from "vitest";
import type { ClientSession } from "../src/http/client-session.ts";
import { configureLogs } from "../src/log/logger.ts";
import { turn } from "../src/testing/index.ts";
import { HttpConnector } from "../src/upstreams/http-connector.ts";
import { HttpPeer } from "../src/upstreams/http-peer.ts";
import { seeResponse, type SeenResponse } from "./harness.ts";
import { tcpServer } from "./net-harness.ts";

beforeEach(() => configureLogs({ levels: "silent" }));

const POST = RequestHeader.build("POST", "/", { Host: "a" });

/** An upload to an origin that says `answer` and resets the connection, which we learn by writing. */
async function upload(
  answer: string,
): Promise<{ session: ClientSession; seen: SeenResponse; outcome: Promise<string> }> {
  await using server = await tcpServer();
  const connector = new HttpConnector();
  const session = await connector.connect(new HttpPeer(server.address));
  const seen = seeResponse();
  const outcome = new Promise<string>((resolve) => {
    const { onResponseEnd, onUpstreamError } = seen;
    seen.onResponseEnd = (trailers) => {
      onResponseEnd(trailers);
      resolve("end");
    };
    seen.onUpstreamError = (error) => {
      onUpstreamError(error);
      resolve("error");
    };
  });
  session.writeRequest(POST, "unknown-length", seen);
  session.flush();
  const origin = await server.accepted();
  await once(origin, "data");
  // Nothing is read meanwhile, as when the client is behind.
  session.pause();
  await new Promise<void>((resolve) => origin.write(answer, "latin1", () => resolve()));
  origin.resetAndDestroy();
  await once(origin, "close");
  session.writeBody(Buffer.alloc(100_000));
  session.flush();
  return { session, seen, outcome };
}

describe("an origin that answers and closes while it is written to", () => {
  test("has its answer delivered", async () => {
    const { session, seen, outcome } = await upload("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge");
    session.resume();
    expect(await outcome).toBe("end");
    expect([seen.header?.status, seen.body, seen.error]).toEqual([413, "large", undefined]);
    expect(session.receivedBytes).toBeGreaterThan(50);
    session.destroy();
  });

  test("even if nobody wants it before the connection is gone", async () => {
    const { session, seen, outcome } = await upload("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge");
    // The failed write closes the socket in the next turns of the event loop.
    for (let turns = 0; turns < 3; turns++) await turn();
    expect(seen.order).toEqual([]);
    session.resume();
    expect(await outcome).toBe("end");
    expect(seen.body).toBe("large");
    session.destroy();
  });

  test("and has not answered whole: what is there comes first, and then the error", async () => {
    const { session, seen, outcome } = await upload("HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\nlarge");
    session.resume();
    expect(await outcome).toBe("error");
    expect([seen.header?.status, seen.body]).toEqual([413, "large"]);
    expect(seen.error).toMatchObject({ type: "ConnectionClosed", source: "upstream", detail: "response-body" });
    expect(seen.error!.retry).toBe(false);
  });

  test("a body that would end with the connection has not ended: it was reset", async () => {
    const { session, seen, outcome } = await upload("HTTP/1.1 413 Content Too Large\r\n\r\nlarge");
    session.resume();
    expect(await outcome).toBe("error");
    expect([seen.body, seen.ended]).toEqual(["large", false]);
  });

  test("has its answer delivered in order, also if what was late is written, and fails, beside a read of it", async () => {
    await using server = await tcpServer();
    const connector = new HttpConnector();
    const session = await connector.connect(new HttpPeer(server.address));
    const seen = seeResponse();
    session.writeRequest(POST, "unknown-length", seen);
    session.flush();
    const origin = await server.accepted();
    await once(origin, "data");
    // More than one read brings; each five characters tell their place.
    const answer = Array.from({ length: 40_000 }, (_, index) => String(index).padStart(5, "0")).join("");
    // Behind a timer sockets are read, and only then what is late would leave by itself.
    await new Promise((resolve) => setTimeout(resolve, 1));
    origin.write(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`, "latin1");
    origin.resetAndDestroy();
    session.finishRequest();
    // It is overdue when the first read comes.
    const since = performance.now();
    while (performance.now() - since < 5);
    while (seen.error === undefined && !seen.ended) await turn();
    expect(seen.body.length).toBeGreaterThan(65_536);
    expect(seen.body === answer.slice(0, seen.body.length)).toBe(true);
    session.destroy();
  });

  test("is a write error when it has not answered", async () => {
    const { seen, outcome } = await upload("");
    expect(await outcome).toBe("error");
    expect(seen.error).toMatchObject({ type: "WriteError", source: "upstream", retry: "reusedOnly" });
  });
});
