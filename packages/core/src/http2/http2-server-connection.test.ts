import type { Channel } from "node:diagnostics_channel";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { answer, respond, wholeBody, type SeenRequest } from "../../test/harness.ts";
import { exchange, GET, Http2Served, open, POST } from "../../test/http2-harness.ts";
import { tcpClient } from "../../test/net-harness.ts";
import { connectionChannels, type ConnectionClosedMessage } from "../diagnostics.ts";
import { ResponseHeader } from "@sluice/http";
import { FLAG, FRAME, frameBytes, requestFields } from "../testing/index.ts";
import { CANCEL, NO_ERROR, REFUSED_STREAM } from "./error-codes.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HTTP1 = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const ALL_STREAMS = 2 ** 31 - 1;
const never = new Promise<void>(() => undefined);
const patient = (): AbortSignal => new AbortController().signal;

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

/** What the channel says of connections that close, while the scope lasts. */
function watchClosed(): { closed: ConnectionClosedMessage[] } & Disposable {
  const closed: ConnectionClosedMessage[] = [];
  const listener = (message: unknown): void => void closed.push(message as ConnectionClosedMessage);
  const channel = connectionChannels.closed as unknown as Channel;
  channel.subscribe(listener);
  return { closed, [Symbol.dispose]: () => void [channel.unsubscribe(listener)] };
}

describe("the preface", () => {
  test("makes a connection one of HTTP/2, also byte by byte, and with a request behind it", async () => {
    await using served = await Http2Served.start();
    const bytewise = await served.frames({ preface: false });
    for (const byte of PREFACE) {
      bytewise.sendBytes(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    bytewise.settings([]).get(1);
    expect(await bytewise.status(1)).toBe(200);
    const atOnce = await served.frames({ preface: false });
    atOnce.sendBytes(Buffer.concat([Buffer.from(PREFACE), frameBytes(FRAME.SETTINGS, 0, 0)]));
    expect(await atOnce.get(1).status(1)).toBe(200);
  });

  test("is looked for at the beginning alone: other connections are of HTTP/1", async () => {
    await using served = await Http2Served.start();
    using client = await tcpClient(served.address);
    client.socket.write(HTTP1);
    await client.until((text) => text.includes("200 OK"));
    client.socket.write(PREFACE);
    expect(await client.until((text) => text.includes("HTTP/1.1 505 "))).toContain("HTTP/1.1 200 OK");
  });

  test.each(["P", "PR", "PRI * HTTP/2.0\r\n", PREFACE.slice(0, 20)])(
    "that goes on as something else after %j is refused",
    async (part) => {
      await using served = await Http2Served.start();
      using client = await tcpClient(served.address);
      client.socket.write(part);
      await new Promise((resolve) => setImmediate(resolve));
      client.socket.write("OST / HTTP/1.1\r\nHost: a.test\r\n\r\n");
      const text = await client.until((got) => /^HTTP\/1\.1 \d+ /.test(got));
      expect(text).toMatch(part.length < 3 ? /^HTTP\/1\.1 200 / : /^HTTP\/1\.1 (400|505) /);
    },
  );

  test("that stops in the middle is timed as a head", async () => {
    await using served = await Http2Served.start(answer, {}, { headMs: 50 });
    using client = await tcpClient(served.address);
    client.socket.write(PREFACE.slice(0, 20));
    expect(await client.until((text) => text.includes("\r\n\r\n"))).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("is refused with a 505 that says why, unless h2c is on", async () => {
    await using served = await Http2Served.start(answer, { h2c: false });
    using client = await tcpClient(served.address);
    client.socket.write(PREFACE);
    expect(await client.until((text) => text.includes("\r\n\r\n"))).toMatch(/^HTTP\/1\.1 505 /);
    expect(served.requests[0]!.error?.message).toContain(
      "the client speaks HTTP/2 without TLS, which http2.h2c allows",
    );
  });

  test("of which HTTP/2 cannot be made is an error in the log", async () => {
    await using served = await Http2Served.start();
    const client = await served.frames({ preface: false });
    client.sendBytes(`${PREFACE}this is no frame at all, but it is long enough to be one`);
    await client.closed;
    await served.idle();
    expect(served.logs[0]?.msg).toBe("ended an HTTP/2 connection whose client broke the protocol");
  });
});

describe("a connection", () => {
  test("serves many streams at a time, each at its own pace, and clients keep to the limit", async () => {
    const gate = Promise.withResolvers<void>();
    await using served = await Http2Served.start(
      async ({ session }) => {
        if (session.request.target !== "/fast") await gate.promise;
        respond(session, 200, session.request.target);
      },
      { maxConcurrentStreams: 3 },
    );
    const client = served.client();
    await new Promise((resolve) => client.once("remoteSettings", resolve));
    const ask = (path: string): ReturnType<typeof exchange> => exchange(client, [...GET.slice(0, -1), path]);
    const slow = [ask("/a"), ask("/b")];
    expect((await ask("/fast")).body).toBe("/fast");
    slow.push(ask("/c"), ask("/d"));
    await served.request(4);
    expect(served.requests).toHaveLength(4);
    gate.resolve();
    expect((await Promise.all(slow)).map(({ body }) => body)).toEqual(["/a", "/b", "/c", "/d"]);
  });

  test("refuses streams beyond the limit, and takes others when there is room again", async () => {
    const gate = Promise.withResolvers<void>();
    await using served = await Http2Served.start(
      async ({ session }) => {
        await gate.promise;
        respond(session, 200, "ok");
      },
      { maxConcurrentStreams: 3 },
    );
    const client = await served.frames();
    for (const id of [1, 3, 5, 7]) client.get(id);
    expect(await client.reset(7)).toBe(REFUSED_STREAM);
    gate.resolve();
    for (const id of [1, 3, 5]) expect(await client.status(id)).toBe(200);
    expect(await client.get(9).status(9)).toBe(200);
    expect(served.requests).toHaveLength(4);
    client.stream.end();
    await served.idle();
    expect(served.logs).toMatchObject([{ streams: 1, reason: "more than 3 streams at a time" }]);
  });

  test("has one digest for all its requests, and tells how it ended", async () => {
    using watch = watchClosed();
    await using served = await Http2Served.start();
    const client = served.client();
    await exchange(client, GET);
    await exchange(client, POST, "abc");
    const [first, second] = served.requests;
    expect(first!.session.digest).toBe(second!.session.digest);
    const { remoteAddress, localAddress } = first!.session.digest;
    expect(remoteAddress).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(localAddress).toBe(served.address);
    client.close();
    await served.idle();
    expect(watch.closed).toHaveLength(1);
    expect(watch.closed[0]).toMatchObject({ service: "web", requests: 2, reason: "client", error: undefined });
    expect(watch.closed[0]!.bytesRead).toBeGreaterThan(100);
    expect(watch.closed[0]!.bytesWritten).toBeGreaterThan(100);
  });

  test("tells of streams that were reset before anybody saw them, once", async () => {
    await using served = await Http2Served.start();
    const client = await served.frames();
    client.get(13);
    await client.status(13);
    client.headers(15, [[":method", "GET"]]).headers(17, [[":method", "GET"]]);
    await client.reset(17);
    client.stream.end();
    await served.idle();
    const alone = await served.frames();
    alone.headers(1, [[":method", "GET"]]);
    await alone.reset(1);
    alone.stream.end();
    await served.idle();
    expect(served.logs).toMatchObject([
      {
        streams: 2,
        reason: "no :scheme",
        client: expect.stringMatching(/^127/),
        msg: expect.stringMatching(/^reset streams of an HTTP\/2 client/),
      },
      { streams: 1 },
    ]);
  });

  test("closes after keepAliveMs without a request, with GOAWAY", async () => {
    using watch = watchClosed();
    await using served = await Http2Served.start(answer, { keepAliveMs: 50 });
    const client = await served.frames();
    client.get(1);
    await client.status(1);
    expect(await client.goaway()).toEqual({ code: NO_ERROR, lastStreamId: 1 });
    await client.closed;
    client.stream.end();
    await served.idle();
    expect(watch.closed[0]).toMatchObject({ reason: "idle-timeout", requests: 1 });
  });

  test("that its client keeps open after our GOAWAY is cut after lingerMs", async () => {
    await using served = await Http2Served.start(answer, { keepAliveMs: 20, lingerMs: 20 });
    const socket = connect({ host: "127.0.0.1", port: Number(served.address.split(":")[1]), allowHalfOpen: true });
    socket.on("error", () => undefined);
    socket.resume().write(PREFACE);
    socket.write(frameBytes(FRAME.SETTINGS, 0, 0));
    await new Promise((resolve) => socket.once("end", resolve));
    expect(socket.writable).toBe(true);
    await served.idle();
    socket.destroy();
  });

  test("takes no more after maxRequests: GOAWAY twice, and what comes between is served", async () => {
    await using served = await Http2Served.start(answer, { maxRequests: 2 });
    const client = await served.frames({ acknowledge: false });
    client.send(FRAME.SETTINGS, FLAG.ACK, 0).get(1).get(3);
    expect(await client.goaway()).toEqual({ code: NO_ERROR, lastStreamId: ALL_STREAMS });
    const ping = await client.next(FRAME.PING);
    client.get(5).send(FRAME.PING, FLAG.ACK, 0, ping.payload);
    for (const id of [1, 3, 5]) expect(await client.status(id)).toBe(200);
    await client.next(FRAME.GOAWAY, 0, ({ payload }) => payload.readUInt32BE(0) === 5);
    await client.closed;
  });
});

test("a client that does not answer the PING behind our GOAWAY, and is never idle, is told the last stream all the same", async () => {
  await using served = await Http2Served.start(() => never, { maxRequests: 1, lingerMs: 20, writeMs: 40 });
  const client = await served.frames({ acknowledge: false });
  client.get(1);
  expect((await client.goaway()).lastStreamId).toBe(ALL_STREAMS);
  const last = await client.next(FRAME.GOAWAY, 0, ({ payload }) => payload.readUInt32BE(0) < ALL_STREAMS);
  expect(last.payload.readUInt32BE(0)).toBe(1);
  client.get(3).ping();
  await client.next(FRAME.PING, 0, ({ flags }) => flags === FLAG.ACK);
  expect(served.requests).toHaveLength(1);
});

describe("a service that stops", () => {
  test("lets streams in flight end, and those that were on the way begin", async () => {
    using watch = watchClosed();
    const gate = Promise.withResolvers<void>();
    await using served = await Http2Served.start(async ({ session }) => {
      await gate.promise;
      respond(session, 200, "ok");
    });
    const client = await served.frames({ acknowledge: false });
    client.send(FRAME.SETTINGS, FLAG.ACK, 0).get(1);
    await served.request();
    const stopped = served.service.stop(patient());
    expect(await client.goaway()).toEqual({ code: NO_ERROR, lastStreamId: ALL_STREAMS });
    expect(served.requests[0]!.session.shuttingDown).toBe(true);
    const ping = await client.next(FRAME.PING);
    // It had left before the client saw the GOAWAY.
    client.get(3).send(FRAME.PING, FLAG.ACK, 0, ping.payload);
    await client.next(FRAME.GOAWAY, 0, ({ payload }) => payload.readUInt32BE(0) === 3);
    client.get(5);
    gate.resolve();
    expect([await client.status(1), await client.status(3)]).toEqual([200, 200]);
    await stopped;
    expect(served.requests).toHaveLength(2);
    expect(watch.closed[0]).toMatchObject({ reason: "server-stop", requests: 2 });
  });

  test("leaves a client that reads slowly what the system has for it", async () => {
    const body = "x".repeat(1_500_000);
    await using served = await Http2Served.start(({ session }) => respond(session, 200, body), { lingerMs: 150 });
    const client = await served.frames({ settings: [[4, 2 ** 31 - 1]] });
    client.windowUpdate(0, 2 ** 30).get(1);
    await client.next(FRAME.HEADERS, 1);
    client.stream.pause();
    expect(served.requests[0]!.session.responseDone).toBe(true);
    const stopped = served.service.stop(patient());
    while (client.dataBytes(1) < body.length) {
      // It is slow.
      await new Promise((resolve) => setTimeout(resolve, 50));
      client.stream.resume();
      await Promise.race([once(client.stream, "data"), client.closed]);
      client.stream.pause();
      if (client.stream.readableEnded || client.stream.destroyed) break;
      client.windowUpdate(0, 1);
    }
    expect(client.dataBytes(1)).toBe(body.length);
    client.stream.destroy();
    await stopped;
  });

  test("leaves it also to one whose windows are so large that it says nothing for a while", async () => {
    const body = "x".repeat(1_500_000);
    await using served = await Http2Served.start(({ session }) => respond(session, 200, body), { lingerMs: 20 });
    const client = await served.frames({ settings: [[4, 2 ** 31 - 1]] });
    client.windowUpdate(0, 2 ** 30).get(1);
    await client.next(FRAME.HEADERS, 1);
    client.stream.pause();
    const stopped = served.service.stop(patient());
    // It is slow, and then it asks for more.
    await new Promise((resolve) => setTimeout(resolve, 300));
    client.get(3).stream.resume();
    await client.closed;
    expect(client.dataBytes(1)).toBe(body.length);
    client.stream.destroy();
    await stopped;
  });

  test("without patience closes also what was about to close", async () => {
    await using served = await Http2Served.start(answer, { keepAliveMs: 20, lingerMs: 60_000 });
    const socket = connect({ host: "127.0.0.1", port: Number(served.address.split(":")[1]), allowHalfOpen: true });
    socket
      .on("error", () => undefined)
      .resume()
      .write(PREFACE);
    socket.write(frameBytes(FRAME.SETTINGS, 0, 0));
    await once(socket, "end");
    await served.service.stop(AbortSignal.abort());
    expect(served.service.connectionCount).toBe(0);
    socket.destroy();
  });

  test("closes an idle connection at once, also one that answers nothing", async () => {
    await using served = await Http2Served.start(answer, { lingerMs: 20 });
    const client = served.client();
    await exchange(client, GET);
    const silent = await served.frames({ acknowledge: false });
    await silent.next(FRAME.SETTINGS);
    await served.service.stop(patient());
    await silent.closed;
    expect(served.service.connectionCount).toBe(0);
  });

  test("does not wait for a whole response that its client gave up without an error", async () => {
    await using served = await Http2Served.start(({ session }) => respond(session, 200, "abc"));
    const client = await served.frames({ settings: [[4, 0]] });
    client.get(1);
    await client.status(1);
    client.send(FRAME.RST_STREAM, 0, 1, Buffer.alloc(4));
    await served.service.stop(patient());
    await client.closed;
    expect(served.requests[0]!.session.responseDone).toBe(true);
  });

  test("without patience cuts what was begun", async () => {
    using watch = watchClosed();
    await using served = await Http2Served.start(({ session }) => {
      session.writeHeader(ResponseHeader.build(200), false);
      session.writeBody(Buffer.from("begun"));
      session.flush();
      return never;
    });
    const client = await served.frames();
    client.get(1);
    await client.next(FRAME.DATA, 1);
    await served.service.stop(AbortSignal.abort());
    await client.closed;
    expect(
      client.frames.some(
        ({ streamId, flags, type }) => streamId === 1 && type === FRAME.DATA && flags === FLAG.END_STREAM,
      ),
    ).toBe(false);
    expect(served.requests[0]!.session.error?.message).toContain("we cut the connection: the server stops");
    expect(watch.closed[0]!.reason).toBe("cut");
  });
});

describe("time", () => {
  test("for the next bytes of a body: 408, and the other streams go on", async () => {
    await using served = await Http2Served.start(answer, { bodyMs: 50 });
    const client = await served.frames();
    client.headers(1, requestFields("POST"), FLAG.END_HEADERS).data(1, "a");
    expect(await client.status(1)).toBe(408);
    expect(served.requests[0]!.error?.message).toContain("the client sent no body bytes for 50 ms");
    expect(await client.get(3).status(3)).toBe(200);
  });

  test("for the end of a request whose every byte is there: 408, and the error says what is missing", async () => {
    await using served = await Http2Served.start(answer, { bodyMs: 50 });
    const client = await served.frames();
    client.headers(1, [...requestFields("POST"), ["content-length", "5"]], FLAG.END_HEADERS).data(1, "hello");
    expect(await client.status(1)).toBe(408);
    expect(served.requests[0]!.error?.message).toContain(
      "the client sent all 5 bytes that its Content-Length says, and for 50 ms no END_STREAM, which ends a request",
    );
  });

  test("for a client that takes nothing: its stream is reset, and the other streams go on", async () => {
    await using served = await Http2Served.start(
      async (seen) => {
        const { session } = seen;
        if (session.request.target === "/fast") {
          respond(session, 200, "ok");
          return;
        }
        session.events = seen;
        session.writeHeader(ResponseHeader.build(200), false);
        while (session.writeBody(Buffer.alloc(40_000)));
        await new Promise((resolve) => (session.onGone = resolve));
      },
      { writeMs: 100 },
    );
    const client = await served.frames();
    client.get(1);
    expect(await client.reset(1)).toBe(CANCEL);
    expect(served.requests[0]!.error?.message).toContain("WriteTimedout context: the client took no bytes for 100 ms");
    expect(served.requests[0]!.session.failedBefore).toBe("end");
    client.windowUpdate(0, 100_000);
    expect(await client.get(3, "/fast").status(3)).toBe(200);
  });

  test("for a client that does not take a response that was given whole: reset, and logged", async () => {
    await using served = await Http2Served.start(({ session }) => respond(session, 200, "a".repeat(1000)), {
      writeMs: 60,
    });
    const client = await served.frames({ settings: [[4, 0]] });
    client.get(1);
    expect(await client.reset(1)).toBe(CANCEL);
    expect(served.logs[0]).toMatchObject({ msg: "reset a stream of a client", client: expect.stringMatching(/^127/) });
  });

  test("for a client whose connection takes nothing: it is cut", async () => {
    const responses = new Set<SeenRequest>();
    await using served = await Http2Served.start(
      async (seen) => {
        responses.add(seen);
        const { session } = seen;
        session.events = seen;
        session.writeHeader(ResponseHeader.build(200), false);
        while (session.error === undefined) {
          if (session.writeBody(Buffer.alloc(40_000))) continue;
          const drains = seen.drains;
          await until(() => seen.drains > drains || session.error !== undefined);
        }
      },
      { writeMs: 200 },
    );
    const client = await served.frames({ settings: [[4, ALL_STREAMS]] });
    client.windowUpdate(0, ALL_STREAMS - 65_535);
    client.get(1);
    await served.request();
    client.stream.pause();
    await until(() => [...responses].every(({ error }) => error !== undefined));
    await served.idle();
    expect([...responses][0]!.error?.type).toBe("WriteTimedout");
  }, 20_000);

  test("an exchange can have limits of its own", async () => {
    await using served = await Http2Served.start(async (seen) => {
      seen.session.limits.bodyMs = 30;
      await wholeBody(seen);
      respond(seen.session, seen.session.error?.status ?? 200, "");
    });
    const stream = open(served.client(), POST, false);
    const status = await new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
    expect(status).toBe(408);
  });
});

describe("options", () => {
  test.each([
    [{ maxConcurrentStreams: 0 }, "http2.maxConcurrentStreams: expected a number from 1 to 2147483647, got 0"],
    [
      { connectionWindowBytes: 1000 },
      "http2.connectionWindowBytes: expected a number from 65535 to 2147483647, got 1000",
    ],
    [{ maxFrameBytes: 20_000_000 }, "http2.maxFrameBytes: expected a number from 16384 to 16777215, got 20000000"],
    [{ maxResets: 1.5 }, "http2.maxResets: expected a number of at least 1, got 1.5"],
    [{ lingerMs: -1 }, "http2.lingerMs: expected a number of at least 0, got -1"],
    [{ bodyMs: Number.NaN }, "bodyMs: expected a number of at least 0, got NaN"],
    [{ h2c: "yes" }, 'http2.h2c: expected true or false, got "yes"'],
    [{ maxStreams: 5 }, "http2: unknown option maxStreams"],
  ])("%j: %s", async (options, message) => {
    await expect(Http2Served.start(answer, options as object)).rejects.toThrow(message);
  });

  test("are the service's where HTTP/2 has none of its own", async () => {
    await using served = await Http2Served.start(answer, {}, { bodyMs: 1234 });
    await exchange(served.client(), POST, "a");
    expect(served.requests[0]!.session.limits.bodyMs).toBe(1234);
  });
});
