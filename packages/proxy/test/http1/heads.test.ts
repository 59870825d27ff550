import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Server } from "@sluice/core";
import type { RequestHeader } from "@sluice/http";
import { HttpPeer, httpProxy } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { chunked, patternBytes } from "../support/message.ts";
import { answering, OK, Origin } from "../support/origin.ts";
import { gate, get, startProxy } from "../support/proxy.ts";

/** An origin that keeps the heads it got. */
async function keepingOrigin(response = OK): Promise<{ origin: Origin; heads: string[] }> {
  const heads: string[] = [];
  const origin = await Origin.start(async (connection) => {
    for (;;) {
      heads.push(await connection.upTo("\r\n\r\n"));
      connection.send(response);
    }
  });
  return { origin, heads };
}

describe("a request head", () => {
  test("keeps target, case, order, doubles and every byte; Via is added", async () => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin });
    const fields =
      'hOsT: Test:80\r\nX-B: 1\r\nx-a: \xe9\xff\x80\r\nX-b:  2  \r\nCookie: a=b; c="d"\r\nX-Empty:\r\nVia: 1.0 first\r\n';
    const client = await proxy.send(`gEt /%7Ea/../b?x=%20&y=\xe9{|} HTTP/1.1\r\n${fields}\r\n`);
    await client.message();
    expect(heads).toEqual([
      "gEt /%7Ea/../b?x=%20&y=\xe9{|} HTTP/1.1\r\n" +
        'hOsT: Test:80\r\nX-B: 1\r\nx-a: \xe9\xff\x80\r\nX-b: 2\r\nCookie: a=b; c="d"\r\nX-Empty: \r\nVia: 1.0 first\r\n' +
        "Via: 1.1 sluice\r\n\r\n",
    ]);
  });

  test.each<[string, (outgoing: RequestHeader) => unknown]>([
    ["a second Host", (outgoing) => outgoing.append("HOST", "other.test")],
    ["a second Host of the same name, by `raw`", (outgoing) => outgoing.raw.push("Host", "test")],
    ["no Host", (outgoing) => outgoing.remove("host")],
  ])("to which a hook gives %s is answered with 500, and no origin sees it", async (_what, edit) => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy(
      {
        origin,
        upstreamRequestFilter: (session, outgoing) => void (session.request.target === "/bad" && edit(outgoing)),
      },
      { via: false },
    );
    const client = await proxy.send(get("/first"));
    await client.message();
    // On the connection that the first has left.
    client.send("POST /bad HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
    expect((await client.message()).status).toBe(500);
    expect((await proxy.whenFinished(2)).error).toMatchObject({ type: "InvalidHTTPHeader", source: "internal" });
    expect(proxy.errors[0]?.["error"]).toMatch(/(no Host field|2 Host fields) cannot go up/);
    const next = await proxy.send(get("/next"));
    expect((await next.message()).status).toBe(200);
    expect(heads).toEqual(["/first", "/next"].map((target) => `GET ${target} HTTP/1.1\r\nHost: test\r\n\r\n`));
    expect(proxy.pool.idleCount).toBe(1);
  });

  test.each([
    ["another name", "edge-7", "Via: 1.1 edge-7\r\n"],
    ["none", false as const, ""],
  ])("has %s in Via if the options say so", async (_what, via, expected) => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin }, { via });
    const client = await proxy.send(get());
    await client.message();
    expect(heads).toEqual([`GET / HTTP/1.1\r\nHost: test\r\n${expected}\r\n`]);
  });

  test("loses the fields that speak of the client's connection, and those that Connection names", async () => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin }, { via: false });
    const hopByHop = [
      "Connection: keep-alive, X-Named",
      "CONNECTION: , x-also ,",
      "Keep-Alive: timeout=5",
      "Proxy-Connection: keep-alive",
      "TE: trailers",
      "Upgrade: h2c",
      "X-Named: 1",
      "x-named: 2",
      "X-Also: 3",
    ];
    const client = await proxy.send(get("/", `A: 1\r\n${hopByHop.join("\r\n")}\r\nZ: 2\r\n`));
    await client.message();
    expect(heads).toEqual(["GET / HTTP/1.1\r\nHost: test\r\nA: 1\r\nZ: 2\r\n\r\n"]);
  });

  test("cannot lose what matters by naming it in Connection", async () => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin }, { via: false });
    const client = await proxy.send(
      "POST / HTTP/1.1\r\nHost: test\r\nConnection: host, content-length, close, authorization\r\nAuthorization: x\r\nContent-Length: 2\r\n\r\nhi",
    );
    await client.message();
    expect(heads[0]).toBe("POST / HTTP/1.1\r\nHost: test\r\nAuthorization: x\r\nContent-Length: 2\r\n\r\n");
  });

  test("with an absolute target goes up in origin form, its authority as Host", async () => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin }, { via: false });
    const client = await proxy.send("GET http://real.test:81/a?b HTTP/1.1\r\nHost: other\r\n\r\n");
    await client.message();
    expect(heads).toEqual(["GET /a?b HTTP/1.1\r\nHost: real.test:81\r\n\r\n"]);
  });

  test("of OPTIONS * goes up as it is", async () => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin }, { via: false });
    const client = await proxy.send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n");
    await client.message();
    expect(heads).toEqual(["OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n"]);
  });

  test("of HTTP/1.0 goes up as HTTP/1.1, and Via tells what it was", async () => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin });
    const client = await proxy.send("GET / HTTP/1.0\r\nHost: old\r\n\r\n");
    await client.message();
    expect(heads).toEqual(["GET / HTTP/1.1\r\nHost: old\r\nVia: 1.0 sluice\r\n\r\n"]);
  });

  test("of HTTP/1.0 without Host gets the peer's address there: HTTP/1.1 demands one", async () => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin }, { via: false });
    const client = await proxy.send("GET / HTTP/1.0\r\nX: 1\r\n\r\n");
    await client.message();
    expect(heads).toEqual([`GET / HTTP/1.1\r\nHost: ${origin.address}\r\nX: 1\r\n\r\n`]);
  });

  test("with both framings is read as chunked, goes up as chunked only, and its connection is not trusted", async () => {
    await using origin = await Origin.start(async (connection) => {
      const request = await connection.message();
      connection.send(
        `HTTP/1.1 200 OK\r\nX-CL: ${request.field("content-length")}\r\nContent-Length: 3\r\n\r\n`,
        request.body,
      );
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(
      "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    const answer = await client.message();
    expect([answer.field("x-cl"), answer.body.toString(), answer.field("connection")]).toEqual([
      "undefined",
      "abc",
      "close",
    ]);
    await client.whenEnded();
  });
});

describe("a response head", () => {
  test("keeps reason, case, order, doubles and every byte", async () => {
    const fields =
      "sErVeR: x\r\nSet-Cookie: a=1\r\nX-Z: \xe9\xff\r\nset-cookie: b=2\r\nDATE: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 2\r\nX-Empty: \r\n";
    await using origin = await answering(`HTTP/1.1 299 As \xdcsual!\r\n${fields}\r\nok`);
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get());
    expect(await client.upTo("\r\n\r\n")).toBe(`HTTP/1.1 299 As \xdcsual!\r\n${fields}\r\n`);
  });

  test("has a Date added if it has none", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get());
    const date = (await client.message()).field("date");
    expect(Math.abs(Date.parse(date!) - Date.now())).toBeLessThan(5000);
  });

  test("loses the fields that speak of the origin's connection, and those that Connection names, also in a 1xx", async () => {
    const hopByHop = [
      "Connection: X-Named",
      "Connection: close, x-also",
      "Keep-Alive: timeout=5",
      "Proxy-Connection: close",
      "Upgrade: h2c",
      "X-Named: 1",
      "X-Also: 2",
    ].join("\r\n");
    const date = "Date: Thu, 01 Jan 1970 00:00:00 GMT";
    await using origin = await answering(
      `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n${hopByHop}\r\n\r\n`,
      `HTTP/1.1 200 OK\r\n${date}\r\n${hopByHop}\r\nContent-Length: 2\r\n\r\nok`,
    );
    await using proxy = await startProxy({ origin });
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(get());
      expect(await client.upTo("\r\n\r\n")).toBe("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
      expect(await client.upTo("ok")).toBe(`HTTP/1.1 200 OK\r\n${date}\r\nContent-Length: 2\r\n\r\nok`);
    }
    // The origin's wish is its own connection's matter.
    expect(origin.connections).toHaveLength(2);
  });

  test("with both framings is read as chunked; its connection serves no other request", async () => {
    await using origin = await answering(
      "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    await using proxy = await startProxy({ origin });
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(get());
      const answer = await client.message();
      expect([answer.body.toString(), answer.field("content-length")]).toEqual(["ok", undefined]);
    }
    expect(origin.connections).toHaveLength(2);
  });

  test.each([true, false])(
    "of HTTP/1.0 lets its connection serve again only if it says keep-alive (%s)",
    async (says) => {
      const connection = says ? "Connection: Keep-Alive\r\n" : "";
      await using origin = await answering(`HTTP/1.0 200 OK\r\n${connection}Content-Length: 2\r\n\r\nok`);
      await using proxy = await startProxy({ origin });
      const client = await proxy.connect();
      for (let round = 0; round < 2; round++) {
        client.send(get());
        const answer = await client.message();
        expect([answer.startLine, answer.field("connection")]).toEqual(["HTTP/1.1 200 OK", undefined]);
      }
      expect(origin.connections).toHaveLength(says ? 1 : 2);
    },
  );

  test("does not close the origin's connection because the client closes its own", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin });
    for (let round = 0; round < 3; round++) {
      const client = await proxy.send(get("/", "Connection: close\r\n"));
      expect((await client.message()).field("connection")).toBe("close");
      await client.whenEnded();
    }
    expect(origin.connections).toHaveLength(1);
  });

  test("Keep-Alive: timeout of the origin is honoured: a connection about to end is not used", async () => {
    await using origin = await answering("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok");
    await using proxy = await startProxy({ origin });
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(get());
      await client.message();
    }
    expect(origin.connections).toHaveLength(2);
  });
});

test("heads up to the limits pass both ways, and beyond the origin's is 502", async () => {
  const fields = Array.from({ length: 240 }, (_, index) => `X-${index}: ${"v".repeat(250)}\r\n`).join("");
  await using origin = await Origin.start(async (connection) => {
    for (;;) {
      const { startLine } = await connection.message();
      const more = startLine.includes("/more") ? fields : "";
      connection.send(`HTTP/1.1 200 OK\r\n${fields}${more}Content-Length: 2\r\n\r\nok`);
    }
  });
  await using proxy = await startProxy({ origin });
  const client = await proxy.send(get("/", fields));
  const answer = await client.message();
  expect([answer.body.toString(), answer.field("x-239")]).toEqual(["ok", "v".repeat(250)]);
  client.send(get("/more"));
  expect((await client.message()).status).toBe(502);
});

test("Unix sockets serve on both sides", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "sluice-"));
  await using origin = await answering(OK);
  const server = new Server();
  const file = path.join(folder, "proxy.sock");
  const service = httpProxy(server, { newCtx: () => ({}), upstreamPeer: () => new HttpPeer(origin.address) });
  await server.addService(service.listenUnix(file)).start();
  await using outer = await startProxy({ origin: new HttpPeer(`unix:${file}`) });
  const client = await outer.connect();
  for (let round = 0; round < 2; round++) {
    client.send(get());
    expect((await client.message()).body.toString()).toBe("ok");
  }
  await outer.whenFinished(2);
  expect(outer.finished.map(({ session }) => session.upstreamReused)).toEqual([false, true]);
  await server.stop(0);
  await rm(folder, { recursive: true });
});

describe("Expect: 100-continue", () => {
  const HEAD = "PUT / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

  test("passes; the client sends its body after the origin's 100", async () => {
    await using origin = await Origin.start(async (connection) => {
      expect(await connection.upTo("\r\n\r\n")).toContain("\r\nExpect: 100-continue\r\n");
      connection.send("HTTP/1.1 100 Continue\r\n\r\n");
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", await connection.bytes(5));
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(HEAD);
    expect(await client.upTo("\r\n\r\n")).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    expect((await client.message()).body.toString()).toBe("hello");
    expect(origin.failures).toEqual([]);
  });

  test("a final answer instead of 100 arrives; the connection closes, since the body may come or not", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(HEAD);
    const answer = await client.message();
    expect([answer.status, answer.field("connection"), answer.body.toString()]).toEqual([401, "close", "no"]);
    await client.whenEnded();
    await origin.connections[0]!.whenEnded();
  });
});

describe("interim responses", () => {
  test("arrive at once, one by one, before the final one is there", async () => {
    const { opened, open } = gate();
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
      await opened;
      connection.send(OK);
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get());
    expect([(await client.message()).status, (await client.message()).status]).toEqual([102, 103]);
    open();
    expect((await client.message()).status).toBe(200);
    const { session } = await proxy.whenFinished();
    expect(session.responseStatus).toBe(200);
  });

  test("are not passed to a client of HTTP/1.0", async () => {
    await using origin = await answering("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n", OK);
    await using proxy = await startProxy({ origin });
    const client = await proxy.send("GET / HTTP/1.0\r\n\r\n");
    expect((await client.message()).status).toBe(200);
  });
});

describe("trailers", () => {
  test("of the origin pass, without fields that have no place there", async () => {
    const trailers = "X-Sum: 1\r\nx-sum: 2\r\nContent-Length: 9\r\nSet-Cookie: a\r\n";
    await using origin = await answering(
      "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n",
      chunked(Buffer.from("ok"), 9, trailers),
    );
    await using proxy = await startProxy({ origin });
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(get());
      const answer = await client.message();
      expect([answer.field("trailer"), answer.body.toString()]).toEqual(["X-Sum", "ok"]);
      expect(answer.trailers).toEqual([
        ["X-Sum", "1"],
        ["x-sum", "2"],
      ]);
    }
  });

  test("of the client pass", async () => {
    await using origin = await Origin.start(async (connection) => {
      const { body, trailers } = await connection.message();
      connection.send(
        `HTTP/1.1 200 OK\r\nX-Got: ${body.toString()} ${trailers.join(";")}\r\nContent-Length: 0\r\n\r\n`,
      );
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(
      "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
      chunked(Buffer.from("hi"), 9, "X-Sum: 1\r\n"),
    );
    expect((await client.message()).field("x-got")).toBe("hi X-Sum,1");
  });

  test("are dropped for a client of HTTP/1.0", async () => {
    await using origin = await answering(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n",
    );
    await using proxy = await startProxy({ origin });
    const client = await proxy.send("GET / HTTP/1.0\r\n\r\n");
    expect((await client.message()).body.toString()).toBe("ok");
  });
});

describe("pipelined requests", () => {
  test("are answered in order, with their own answers", async () => {
    let open = 0;
    await using origin = await Origin.start(async (connection) => {
      for (;;) {
        const { startLine, body } = await connection.message();
        expect(++open).toBe(1);
        const text = `${startLine.split(" ")[1]}:${body.toString()}`;
        await new Promise((resolve) => setImmediate(resolve));
        open--;
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
      }
    });
    await using proxy = await startProxy({ origin });
    const post = (target: string): string =>
      `POST ${target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`;
    const client = await proxy.send(get("/1"), post("/2"), "\r\n", get("/3"), post("/4"));
    const bodies: string[] = [];
    for (let request = 1; request <= 4; request++) bodies.push((await client.message()).body.toString());
    expect(bodies).toEqual(["/1:", "/2:hi", "/3:", "/4:hi"]);
    expect(origin.failures).toEqual([]);
    expect(origin.connections).toHaveLength(1);
  });

  test("after one that closes are not served", async () => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get("/1", "Connection: close\r\n"), get("/2"));
    expect((await client.message()).field("connection")).toBe("close");
    expect((await client.rest()).length).toBe(0);
    expect(heads).toHaveLength(1);
  });

  test("cut anywhere by the network are the same requests", async () => {
    const { origin, heads } = await keepingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin }, { via: false });
    const client = await proxy.connect();
    const bytes = get("/1") + get("/2", "X: 1\r\n");
    for (const byte of bytes) await client.sent(byte);
    await client.message();
    await client.message();
    expect(heads.join("")).toBe(bytes);
  });
});

describe("an answer before the upload ended", () => {
  test("is delivered, and the client's connection closes", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(
      "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n",
      patternBytes(1000),
    );
    const answer = await client.message();
    expect([answer.status, answer.field("connection"), answer.body.toString()]).toEqual([413, "close", "big"]);
    await client.whenEnded();
    expect(client.error).toBeUndefined();
    // Half a request was sent there: the connection is good for nothing.
    await origin.connections[0]!.whenEnded();
    expect(proxy.pool.idleCount).toBe(0);
    expect((await proxy.whenFinished()).error).toBeUndefined();
  });

  test("that is long goes on while the upload goes on", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
      for (let piece = 0; piece < 3; piece++) connection.send(await connection.bytes(4));
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 12\r\n\r\n");
    await client.upTo("\r\n\r\n");
    for (const piece of ["aaaa", "bbbb", "cccc"]) {
      client.send(piece);
      expect((await client.bytes(4)).toString()).toBe(piece);
    }
    expect((await proxy.whenFinished()).error).toBeUndefined();
  });
});

describe("an origin that sends more than it should", () => {
  const POISON = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
  const HEAD = "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n";

  test.each<[string, string, string]>([
    ["after Content-Length", get(), `${OK}${POISON}`],
    ["a byte after Content-Length", get(), `${OK}x`],
    [
      "after the last chunk",
      get(),
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${POISON}`,
    ],
    ["a body after 204", get(), `HTTP/1.1 204 No Content\r\n\r\n${POISON}`],
    ["a body after 304", get(), `HTTP/1.1 304 Not Modified\r\nContent-Length: 56\r\n\r\n${POISON}`],
    ["a body after HEAD", HEAD, `HTTP/1.1 200 OK\r\nContent-Length: 56\r\n\r\n${POISON}`],
  ])("never has it read as the next answer: %s", async (_what, request, response) => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(connection.index === 0 ? response : OK);
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(request);
    await client.message({ toHead: request === HEAD });
    await origin.connections[0]!.whenEnded();
    client.send(get("/next"));
    expect((await client.message()).body.toString()).toBe("ok");
    expect(origin.connections).toHaveLength(2);
    expect(proxy.pool.unexpectedData.total).toBe(1);
    expect((await proxy.whenFinished()).error).toBeUndefined();
  });

  test("never has it read as the answer to a pipelined request", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(connection.index === 0 ? `${OK}${POISON}` : OK);
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get("/1"), get("/2"));
    for (let request = 0; request < 2; request++) expect((await client.message()).body.toString()).toBe("ok");
    expect(origin.connections).toHaveLength(2);
  });

  test("never has it read as the next answer when it comes in another packet", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(OK);
      if (connection.index > 0) return;
      await proxyDone.promise;
      connection.send(POISON);
    });
    const proxyDone = Promise.withResolvers<void>();
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(get());
    await client.message();
    await proxy.whenFinished();
    proxyDone.resolve();
    await origin.connections[0]!.whenEnded();
    client.send(get());
    expect((await client.message()).body.toString()).toBe("ok");
    expect(proxy.pool.unexpectedData.total).toBe(1);
  });

  test("two answers to one request in one packet, again and again, never shift the answers", async () => {
    await using origin = await Origin.start(async (connection) => {
      for (;;) {
        const target = (await connection.message()).startLine.split(" ")[1]!;
        const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`;
        connection.send(answer, Math.random() < 0.5 ? answer : "");
      }
    });
    await using proxy = await startProxy({ origin });
    await Promise.all(
      Array.from({ length: 8 }, async (_, who) => {
        const client = await proxy.connect();
        for (let round = 0; round < 40; round++) {
          client.send(get(`/${who}/${round}`));
          expect((await client.message()).body.toString()).toBe(`/${who}/${round}`);
        }
      }),
    );
  });
});
