import { request as nodeRequest } from "node:http";
import { HttpPeer } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { testWith } from "../../../../test/programs.ts";
import { chunked, patternBytes } from "../support/message.ts";
import { answering, nodeOrigin, OK, Origin } from "../support/origin.ts";
import { get, startProxy } from "../support/proxy.ts";
import { settled } from "../support/settled.ts";

const SIZES = [0, 1, 1024, 65_536, 1 << 20, 8 << 20];
const FRAMINGS = ["content-length", "chunked"] as const;
const MODES = SIZES.flatMap((size) => FRAMINGS.map((framing) => ({ size, framing })));

function framed(body: Buffer, framing: (typeof FRAMINGS)[number]): [fields: string, body: Buffer] {
  return framing === "chunked"
    ? ["Transfer-Encoding: chunked\r\n", chunked(body)]
    : [`Content-Length: ${body.length}\r\n`, body];
}

/** Answers with the body it got, framed as the client's field X-Frame asks, and closes if the head says so. */
function echoOrigin(): Promise<Origin> {
  return Origin.start(async (connection) => {
    for (;;) {
      const request = await connection.message();
      const framing = request.field("x-frame") === "chunked" ? "chunked" : "content-length";
      const [fields, body] = framed(request.body, framing);
      const close = request.field("x-close") === undefined ? "" : "Connection: close\r\n";
      connection.send(`HTTP/1.1 200 OK\r\n${fields}${close}\r\n`, body);
      if (close !== "") connection.end();
    }
  });
}

describe.each(MODES)("a body of $size bytes, $framing", ({ size, framing }) => {
  const body = patternBytes(size);

  test.each(["keep-alive", "close"])("arrives whole, up and down (%s)", async (persistence) => {
    await using origin = await echoOrigin();
    await using proxy = await startProxy({ origin });
    const [fields, payload] = framed(body, framing);
    const close = persistence === "close" ? "X-Close: 1\r\nConnection: close\r\n" : "";
    let client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(`PUT / HTTP/1.1\r\nHost: test\r\nX-Frame: ${framing}\r\n${fields}${close}\r\n`, payload);
      const answer = await client.message();
      expect(answer.status).toBe(200);
      expect(answer.body.equals(body)).toBe(true);
      expect(answer.field("transfer-encoding")).toBe(framing === "chunked" ? "chunked" : undefined);
      expect(answer.field("connection")).toBe(persistence === "close" ? "close" : undefined);
      if (persistence === "close") {
        await client.whenEnded();
        client = await proxy.connect();
      }
    }
    const { session } = await proxy.whenFinished(2);
    expect([session.responseBodyBytes, session.upstreamBodyBytes]).toEqual([size, size]);
    expect(origin.connections).toHaveLength(persistence === "close" ? 2 : 1);
    expect(proxy.logs).toEqual([]);
  });

  test("arrives whole from an origin of HTTP/1.0 that ends by closing", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send("HTTP/1.0 200 OK\r\n\r\n", body).end();
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(get());
      const answer = await client.message();
      // The client's connection need not end for it.
      expect([answer.startLine, answer.field("transfer-encoding")]).toEqual(["HTTP/1.1 200 OK", "chunked"]);
      expect(answer.body.equals(body)).toBe(true);
    }
  });

  test.each([true, false])("arrives whole at a client of HTTP/1.0 (keep-alive asked: %s)", async (asked) => {
    const [fields, payload] = framed(body, framing);
    await using origin = await answering(`HTTP/1.1 200 OK\r\n${fields}\r\n`, payload);
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(`GET / HTTP/1.0\r\n${asked ? "Connection: keep-alive\r\n" : ""}\r\n`);
    const answer = await client.message();
    expect(answer.body.equals(body)).toBe(true);
    expect(answer.field("transfer-encoding")).toBeUndefined();
    const keeps = asked && framing === "content-length";
    expect(answer.field("connection")).toBe(keeps ? "keep-alive" : "close");
    if (!keeps) {
      await client.whenEnded();
      return;
    }
    client.send("GET / HTTP/1.0\r\n\r\n");
    expect((await client.message()).field("connection")).toBe("close");
  });
});

test("a body that trickles, a byte a chunk, arrives whole both ways", async () => {
  await using origin = await echoOrigin();
  await using proxy = await startProxy({ origin });
  const body = patternBytes(3000);
  const client = await proxy.send(
    "PUT / HTTP/1.1\r\nHost: test\r\nX-Frame: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
  );
  const bytes = chunked(body, 1);
  for (let at = 0; at < bytes.length; at += 997) await client.sent(bytes.subarray(at, at + 997));
  expect((await client.message()).body.equals(body)).toBe(true);
});

test("many bodies at once do not mix", async () => {
  await using origin = await echoOrigin();
  await using proxy = await startProxy({ origin });
  await Promise.all(
    Array.from({ length: 24 }, async (_, index) => {
      const client = await proxy.connect();
      for (let round = 1; round <= 4; round++) {
        const body = Buffer.alloc(70_000 * round, `${index}.${round};`);
        const [fields, payload] = framed(body, FRAMINGS[(index + round) % 2]!);
        client.send(`PUT / HTTP/1.1\r\nHost: test\r\nX-Frame: ${FRAMINGS[index % 2]}\r\n${fields}\r\n`, payload);
        expect((await client.message()).body.equals(body)).toBe(true);
      }
    }),
  );
});

describe("a response without body", () => {
  test.each<[string, string]>([
    ["HEAD with Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"],
    ["HEAD, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["HEAD without framing", "HTTP/1.1 200 OK\r\n\r\n"],
    ["HEAD after 103", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"],
  ])("to %s leaves both connections for the next request", async (_what, response) => {
    await using origin = await answering(response);
    await using proxy = await startProxy({ origin });
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
      let answer = await client.message({ toHead: true });
      if (answer.status === 103) answer = await client.message({ toHead: true });
      expect(answer.startLine).toBe("HTTP/1.1 200 OK");
      expect(answer.field("content-length")).toBe(response.includes("Content-Length") ? "5" : undefined);
    }
    expect(client.peek()).toBe("");
    expect(origin.connections).toHaveLength(1);
  });

  test.each<[string, string]>([
    ["204", "HTTP/1.1 204 No Content\r\n\r\n"],
    ["304", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"],
    ["304 with Content-Length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"],
    ["200 with Content-Length 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ])("of status %s leaves both connections for the next request", async (_what, response) => {
    await using origin = await answering(response);
    await using proxy = await startProxy({ origin });
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(get());
      const answer = await client.message();
      expect(answer.field("content-length")).toBe(/Content-Length: (\d)/.exec(response)?.[1]);
      expect(answer.field("transfer-encoding")).toBeUndefined();
    }
    expect(origin.connections).toHaveLength(1);
  });

  test("204 loses a Content-Length that it must not have: a client might wait for the bytes", async () => {
    await using origin = await answering("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get());
    expect((await client.message()).field("content-length")).toBeUndefined();
  });
});

describe("a slow client", () => {
  const BODY = patternBytes(64_000_000);

  test.each(FRAMINGS)(
    "stops the origin after a bounded amount, and gets every byte in the end (%s)",
    async (framing) => {
      const [fields, payload] = framed(BODY, framing);
      await using origin = await answering(`HTTP/1.1 200 OK\r\n${fields}\r\n`, payload);
      await using proxy = await startProxy({ origin });
      const client = (await proxy.send(get())).pause();
      const connection = await origin.connection();
      await settled(() => connection.socket.writableLength, 300);
      const taken = connection.tcp.bytesWritten - connection.socket.writableLength;
      // Socket buffers of the system on both legs, and what the proxy holds.
      expect(taken).toBeLessThan(24_000_000);
      client.resume();
      expect((await client.message()).body.equals(BODY)).toBe(true);
    },
  );

  test("gets every byte of a response that closes, even if it takes longer than lingerMs", async () => {
    const body = BODY.subarray(0, 16_000_000);
    await using proxy = await startProxy(
      { requestFilter: (session) => session.respond(200, { body }) },
      { http1: { lingerMs: 60 } },
    );
    const client = (await proxy.send(get("/", "Connection: close\r\n"))).pause();
    await proxy.whenFinished();
    await settled(() => client.receivedBytes, 300);
    client.resume();
    expect((await client.message()).body.equals(body)).toBe(true);
    await client.whenEnded();
  });

  test("that goes on asking and reads no answer is not asked for: its requests wait", async () => {
    const body = patternBytes(20_000);
    let requests = 0;
    await using origin = await Origin.start(async (connection) => {
      for (;;) {
        await connection.message();
        requests++;
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      }
    });
    await using proxy = await startProxy({ origin });
    const client = (await proxy.connect()).pause();
    const count = 5000;
    client.send(get().repeat(count));
    expect(await settled(() => requests, 300)).toBeLessThan(count / 3);
    client.resume();
    for (let request = 0; request < count; request++) {
      const answer = await client.message();
      if (!answer.body.equals(body)) throw new Error(`answer ${request} differs`);
    }
    expect(requests).toBe(count);
  });

  test("that goes on asking and reads no answer is not answered for ever by requestFilter either", async () => {
    const body = patternBytes(20_000);
    await using proxy = await startProxy({ requestFilter: (session) => session.respond(200, { body }) });
    const client = (await proxy.connect()).pause();
    const count = 5000;
    client.send(get().repeat(count));
    expect(await settled(() => proxy.begun, 300)).toBeLessThan(count / 3);
    client.resume();
    for (let request = 0; request < count; request++) {
      const answer = await client.message();
      if (!answer.body.equals(body)) throw new Error(`answer ${request} differs`);
    }
    expect(proxy.begun).toBe(count);
  });
});

test("slow clients get their own bytes, whatever the others wait for meanwhile", async () => {
  await using origin = await Origin.start(async (connection) => {
    for (;;) {
      const seed = (await connection.message()).startLine.split(" ")[1]!;
      const body = Buffer.alloc(6_000_000, `${seed};`);
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
      for (let at = 0; at < body.length; at += 150_001) await connection.sent(body.subarray(at, at + 150_001));
    }
  });
  await using proxy = await startProxy({ origin });
  await Promise.all(
    Array.from({ length: 8 }, async (_, index) => {
      const client = await proxy.connect();
      for (let round = 0; round < 2; round++) {
        const seed = `/${index}/${round}`;
        client.send(get(seed));
        await client.message({ toHead: true });
        void (async () => {
          // In turns, so that what one waits with is in memory while others are read.
          for (let turn = 0; turn < 40; turn++) {
            client.pause();
            await new Promise((resolve) => setTimeout(resolve, (index * 7 + turn) % 5));
            client.resume();
            await new Promise((resolve) => setImmediate(resolve));
          }
        })();
        const body = await client.bytes(6_000_000);
        expect(body.equals(Buffer.alloc(6_000_000, `${seed};`))).toBe(true);
      }
    }),
  );
});

test("a slow origin stops the client after a bounded amount, and gets every byte in the end", async () => {
  const body = patternBytes(64_000_000);
  const resumed = Promise.withResolvers<void>();
  await using origin = await Origin.start(async (connection) => {
    connection.pause();
    await resumed.promise;
    connection.resume();
    const request = await connection.message();
    connection.send(`HTTP/1.1 200 OK\r\nX-Same: ${request.body.equals(body)}\r\nContent-Length: 0\r\n\r\n`);
  });
  await using proxy = await startProxy({ origin });
  const client = await proxy.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
  expect(await settled(() => client.socket.writableLength, 300)).toBeGreaterThan(40_000_000);
  resumed.resolve();
  expect((await client.message()).field("x-same")).toBe("true");
});

describe("other implementations", () => {
  const body = patternBytes(3_000_000);

  test("Node's client and Node's origin understand each other through the proxy", async () => {
    await using origin = await nodeOrigin((request, response) => {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        response.writeHead(201, { Trailer: "X-Length" });
        response.write(Buffer.concat(pieces));
        response.addTrailers({ "X-Length": String(Buffer.concat(pieces).length) });
        response.end();
      });
    });
    await using proxy = await startProxy({ origin });
    for (let round = 0; round < 3; round++) {
      const pieces: Buffer[] = [];
      const trailers = await new Promise<NodeJS.Dict<string>>((resolve, reject) => {
        const request = nodeRequest({ port: proxy.port, method: "POST", agent: false }, (response) => {
          expect(response.statusCode).toBe(201);
          response.on("data", (piece: Buffer) => pieces.push(piece));
          response.on("end", () => resolve(response.trailers));
        });
        request.on("error", reject);
        request.write(body.subarray(0, 1_000_000));
        request.end(body.subarray(1_000_000));
      });
      expect(Buffer.concat(pieces).equals(body)).toBe(true);
      expect(trailers).toEqual({ "x-length": String(body.length) });
    }
  });

  testWith("curl", "curl uploads with Expect: 100-continue and downloads", async ({ curl }) => {
    const { execFile } = await import("node:child_process");
    await using origin = await nodeOrigin((request, response) => request.pipe(response));
    await using proxy = await startProxy({ origin });
    const url = `http://127.0.0.1:${proxy.port}/`;
    const args = ["-sS", "--max-time", "15", "-H", "Expect: 100-continue", "--data-binary", "@-", url];
    const out = await new Promise<Buffer>((resolve, reject) => {
      const done = (error: Error | null, stdout: Buffer): void => (error ? reject(error) : resolve(stdout));
      execFile(curl, args, { encoding: "buffer", maxBuffer: 1e8 }, done).stdin!.end(body);
    });
    expect(out.equals(body)).toBe(true);
  });
});

test("a connection is not shared by exchanges: the origin sees one request at a time on each", async () => {
  let most = 0;
  let open = 0;
  await using origin = await Origin.start(async (connection) => {
    for (;;) {
      await connection.message();
      most = Math.max(most, ++open);
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (connection.peek() !== "") throw new Error("a second request before the answer");
      open--;
      connection.send(OK);
    }
  });
  await using proxy = await startProxy({ origin: new HttpPeer(origin.address) });
  const clients = await Promise.all(Array.from({ length: 10 }, () => proxy.connect()));
  await Promise.all(
    clients.map(async (client) => {
      for (let round = 0; round < 5; round++) {
        client.send(get());
        expect((await client.message()).body.toString()).toBe("ok");
      }
    }),
  );
  expect(most).toBe(10);
  expect(origin.connections).toHaveLength(10);
});
