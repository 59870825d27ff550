import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { LEGS } from "./legs.ts";
import { line } from "./line.ts";
import type { Visit } from "./matrix-origin.ts";

const MIB = 1_048_576;

describe.each(LEGS)("$name", (leg) => {
  test("a request reaches the origin as it was, under the name that the client asked for", async () => {
    await using on = await line(leg);
    await on.client.get("/a/b?c=d&e", { Host: "site.test:81", "X-One": "1", "X-Two": ["a", "b"] });
    const { method, url, fields } = on.visits[0]!.seen;
    expect([method, url, fields["host"], fields["x-one"]]).toEqual(["GET", "/a/b?c=d&e", "site.test:81", "1"]);
    expect(fields["x-two"]).toBe("a, b");
    expect(fields["via"]).toBe(`${leg.downstream === 2 ? "2" : "1.1"} sluice`);
  });

  test("an answer reaches the client as it was", async () => {
    const fields = { "x-one": "1", "set-cookie": ["a=1", "b=2"], "content-type": "text/plain" };
    await using on = await line(leg, (visit) => visit.answer(418, fields, "short and stout"));
    const { status, fields: given, body } = await on.client.get("/");
    expect([status, String(body)]).toEqual([418, "short and stout"]);
    expect(given).toMatchObject({ ...fields, "content-length": "15", date: expect.any(String) });
  });

  test("what speaks of one connection stays on it, both ways", async () => {
    await using on = await line(leg, ({ response }) => {
      if (leg.upstream === 1) response.setHeader("Connection", "keep-alive, x-hop").setHeader("X-Hop", "1");
      response.writeHead(200, { "x-end": "1" }).end();
    });
    const hop =
      leg.downstream === 1 ? { Connection: "keep-alive, X-Hop", "X-Hop": "1", "Proxy-Connection": "keep-alive" } : {};
    const { fields } = await on.client.get("/", { ...hop, TE: "trailers", "X-End": "1" });
    const seen = on.visits[0]!.seen.fields;
    for (const name of ["x-hop", "proxy-connection", "keep-alive", "upgrade"]) expect(seen).not.toHaveProperty(name);
    // RFC 9110, section 10.1.4: said anew, where HTTP/2 is spoken.
    const te = leg.downstream === 2 || leg.upstream === 2 ? "trailers" : undefined;
    expect([seen["te"], seen["x-end"]]).toEqual([te, "1"]);
    expect(fields).not.toHaveProperty("x-hop");
    expect(fields["x-end"]).toBe("1");
    if (leg.downstream === 2) {
      for (const name of ["connection", "keep-alive", "transfer-encoding"]) expect(fields).not.toHaveProperty(name);
    }
  });

  test("cookies reach the origin as one field, whatever their number", async () => {
    await using on = await line(leg);
    await on.client.get("/", { Cookie: leg.downstream === 2 ? ["a=1", "b=2", "c=3"] : "a=1; b=2; c=3" });
    expect(on.visits[0]!.seen.fields["cookie"]).toBe("a=1; b=2; c=3");
  });

  test.for([0, 1, 16_384, 70_000, 3 * MIB])(
    "bodies of %i bytes pass both ways, with their length told",
    async (bytes) => {
      const sent = randomBytes(bytes);
      await using on = await line(leg, async (visit) => visit.answer(200, {}, (await visit.body()).body));
      const { body, fields } = await on.client.ask({ method: "POST", body: sent }).answered;
      expect([on.visits[0]!.seen.fields["content-length"], fields["content-length"]]).toEqual([`${bytes}`, `${bytes}`]);
      expect(body.equals(sent)).toBe(true);
    },
  );

  test("bodies of unknown length pass both ways, piece by piece", async () => {
    await using on = await line(leg, ({ request, response }) => void request.pipe(response.writeHead(200)));
    const sent = Array.from({ length: 20 }, () => randomBytes(9000));
    const { answered } = on.client.ask({
      method: "PUT",
      stream: async (write, end) => {
        for (const piece of sent) await write(piece);
        end();
      },
    });
    const { body, fields } = await answered;
    expect(body.equals(Buffer.concat(sent))).toBe(true);
    expect(fields).not.toHaveProperty("content-length");
    expect(on.visits[0]!.seen.fields).not.toHaveProperty("content-length");
  });

  test("a body that has no bytes after all ends, however long a hook takes", async () => {
    const app = { requestFilter: () => new Promise<void>((resolve) => setTimeout(resolve, 50)) };
    await using on = await line(leg, async (visit) => visit.answer(200, {}, (await visit.body()).body), app);
    const ask = (): Promise<{ status: number; body: Buffer }> =>
      on.client.ask({ method: "POST", stream: async (_write, end) => end() }).answered;
    const answers = await Promise.all(Array.from({ length: 10 }, ask));
    expect(answers.map(({ status, body }) => [status, body.length])).toEqual(answers.map(() => [200, 0]));
  });

  test("a piece does not wait for the next one", async () => {
    await using on = await line(leg, ({ request, response }) => void request.pipe(response.writeHead(200)));
    const exchange = on.client.ask({
      method: "POST",
      stream: async (write, end) => {
        await write("ping");
        await exchange.head;
        while (exchange.received < 4) await new Promise((resolve) => setImmediate(resolve));
        end();
      },
    });
    expect(String((await exchange.answered).body)).toBe("ping");
  });

  test("trailers of a request reach the origin", async () => {
    await using on = await line(leg, async (visit) => {
      const { body, trailers } = await visit.body();
      visit.answer(200, { "x-trailer": trailers["x-sum"] ?? "none" }, body);
    });
    const { fields, body } = await on.client.ask({
      method: "POST",
      fields: { Trailer: "X-Sum" },
      stream: async (write, end) => {
        await write("body");
        end({ "x-sum": "42" });
      },
    }).answered;
    expect([fields["x-trailer"], String(body)]).toEqual(["42", "body"]);
  });

  test("trailers of an answer reach the client", async () => {
    await using on = await line(leg, ({ response }) => {
      response.writeHead(200, { trailer: "x-sum" });
      response.write("body");
      response.addTrailers({ "x-sum": "42" });
      response.end();
    });
    const { body, trailers } = await on.client.get("/", { TE: "trailers" });
    expect([String(body), trailers["x-sum"]]).toEqual(["body", "42"]);
  });

  test("early hints come before the answer", async () => {
    await using on = await line(leg, ({ response }) => {
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      response.writeHead(200).end("done");
    });
    const { informational, status } = await on.client.get("/");
    expect([informational, status]).toEqual([[103], 200]);
  });

  test("a client that waits for 100 is told by the origin to go on", async () => {
    await using on = await line(leg, async (visit) => visit.answer(200, {}, (await visit.body()).body));
    const { answered } = on.client.ask({
      method: "POST",
      fields: { Expect: "100-continue" },
      stream: async (write, end) => {
        await write("waited");
        end();
      },
    });
    expect(String((await answered).body)).toBe("waited");
  });

  test("HEAD has the fields of the answer and no body", async () => {
    await using on = await line(leg, ({ response }) => response.writeHead(200, { "content-length": "1000" }).end());
    const { status, fields, body } = await on.client.ask({ method: "HEAD" }).answered;
    expect([status, fields["content-length"], body.length]).toEqual([200, "1000", 0]);
  });

  test.for([204, 304])("%i has no body", async (status) => {
    await using on = await line(leg, ({ response }) => response.writeHead(status, { etag: '"1"' }).end());
    const answered = await on.client.get("/");
    expect([answered.status, answered.fields["etag"], answered.body.length]).toEqual([status, '"1"', 0]);
    expect((await on.client.get("/")).status).toBe(status);
  });

  test("an answer that comes before the end of the upload is passed on, and the upload stops", async () => {
    await using on = await line(leg, (visit) => visit.answer(413, {}, "too much"));
    const over = Promise.withResolvers<boolean>();
    const { answered } = on.client.ask({
      method: "POST",
      stream: async (write) => {
        const go = (): Promise<boolean> => write(Buffer.alloc(65_536)).then(() => true);
        while (await Promise.race([go(), over.promise]));
      },
    });
    void answered.finally(() => over.resolve(false));
    const { status, body } = await answered;
    expect([status, String(body)]).toEqual([413, "too much"]);
    expect((await on.client.get("/")).status).toBe(413);
  });

  test("a hundred requests at a time get each its own answer", async () => {
    const echo = async (visit: Visit): Promise<void> => visit.answer(200, {}, (await visit.body()).body);
    // A hundred handshakes at once take their time on a machine that is busy.
    await using on = await line(leg, echo, {}, { peer: { connectMs: 0 } });
    const bodies = Array.from({ length: 100 }, (_, n) => `${n} `.repeat(n * 20));
    const answers = await Promise.all(bodies.map((body) => on.client.ask({ method: "POST", body }).answered));
    expect(on.proxy.errors).toEqual([]);
    expect(answers.map(({ body }) => String(body))).toEqual(bodies);
    // A cold start opens one connection, not a hundred.
    if (leg.upstream === 2) expect(on.origin.connections).toBe(1);
  });

  test("connections are used again, on both sides", async () => {
    await using on = await line(leg);
    for (let n = 0; n < 5; n++) await on.client.get("/");
    expect([on.proxy.service.connectionCount, on.origin.connections]).toEqual([1, 1]);
    expect(on.proxy.finished.map(({ session }) => session.upstreamReused)).toEqual([false, true, true, true, true]);
  });

  test("a client that reads slowly stops the origin, and gets every byte in the end", async () => {
    let written = 0;
    const total = 64 * MIB;
    await using on = await line(leg, async ({ response }) => {
      response.writeHead(200);
      while (written < total) {
        written += 65_536;
        if (!response.write(Buffer.alloc(65_536))) await new Promise((resolve) => response.once("drain", resolve));
      }
      response.end();
    });
    const exchange = on.client.ask({});
    exchange.pause();
    await exchange.head;
    // Until nothing has moved for a while: what is full stays full.
    for (let before = -1; before !== written;) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(written).toBeLessThan(48 * MIB);
    exchange.resume();
    expect((await exchange.answered).body.length).toBe(total);
  });

  test("an origin that reads slowly stops the client, and gets every byte in the end", async () => {
    let sent = 0;
    const go = Promise.withResolvers<void>();
    await using on = await line(leg, async (visit) => {
      visit.request.pause();
      await go.promise;
      visit.answer(200, {}, String((await visit.body()).body.length));
    });
    const total = 64 * MIB;
    const { answered } = on.client.ask({
      method: "POST",
      stream: async (write, end) => {
        for (; sent < total; sent += 65_536) await write(Buffer.alloc(65_536));
        end();
      },
    });
    for (let before = -1; before !== sent || on.visits.length === 0;) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(sent).toBeLessThan(48 * MIB);
    go.resolve();
    expect(String((await answered).body)).toBe(String(total));
  });
});
