import {
  clientBody,
  PipeSubrequestError,
  pipeSubrequest,
  presetBody,
  ProxyError,
  type PipedSubrequest,
  type PipeSubrequestOptions,
  type Session,
} from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { chunked, patternBytes } from "../support/message.ts";
import { OK, refusedAddress } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { settled } from "../support/settled.ts";
import { echoing, piping, post, spawning } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ closing, leg, answering, startOrigin, startProxy }) => {
  describe("the answer", () => {
    test("of a subrequest is that of the request, and the connection goes on", async () => {
      await using origin = await answering(
        "HTTP/1.1 201 Created\r\nX-A: b\r\nDate: now\r\nContent-Length: 2\r\n\r\nok",
      );
      const app = piping(origin);
      await using proxy = await startProxy(app);
      const client = await proxy.send(get("/1"), get("/2"));
      for (let n = 0; n < 2; n++) {
        const { startLine, fields, body } = await client.message();
        expect([startLine, body.toString()]).toEqual(["HTTP/1.1 201 Created", "ok"]);
        expect(fields).toEqual([
          ["X-A", "b"],
          ["Date", "now"],
          ["Content-Length", "2"],
        ]);
      }
      await proxy.whenFinished(4);
      expect(
        // Streams of HTTP/2 end side by side.
        proxy.finished
          .map(({ session, error }) => `${session.request.target} ${session.responseStatus} ${error}`)
          .toSorted(),
      ).toEqual(["/1 201 undefined", "/2 201 undefined", "/sub 201 undefined", "/sub 201 undefined"]);
      expect(app.piped.map(({ headerReceived, savedBody }) => [headerReceived, savedBody])).toEqual([
        [true, undefined],
        [true, undefined],
      ]);
      await Promise.all(app.piped.map(({ done }) => done));
    });

    test("may have interim heads, chunks and trailers", async () => {
      const head =
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
      await using origin = await answering(head, chunked(Buffer.from("hello"), 2, "Sum: 1\r\n"));
      await using proxy = await startProxy(piping(origin));
      const client = await proxy.send(get());
      expect((await client.message()).field("link")).toBe("</a>");
      const { body, trailers } = await client.message();
      expect([body.toString(), trailers]).toEqual(["hello", [["Sum", "1"]]]);
    });

    test.each([
      ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "10"],
      ["GET", "HTTP/1.1 304 Not Modified\r\n\r\n", undefined],
      ["GET", "HTTP/1.1 204 No Content\r\n\r\n", undefined],
      ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "0"],
    ])("to %s may have no body: %j", async (method, response, length) => {
      await using origin = await startOrigin(async (connection) => {
        for (;;) {
          await connection.message();
          connection.send(response);
        }
      });
      await using proxy = await startProxy(piping(origin));
      const client = await proxy.send(get().replace("GET", method).repeat(2));
      for (let n = 0; n < 2; n++) {
        const message = await client.message({ toHead: true });
        expect([message.field("content-length"), message.field("transfer-encoding")]).toEqual([length, undefined]);
      }
    });

    test("of a subrequest whose upstream is down is its error page, and the connection goes on", async () => {
      await using proxy = await startProxy(piping({ address: await refusedAddress() }));
      const client = await proxy.send(get(), get());
      expect([(await client.message()).status, (await client.message()).status]).toEqual([502, 502]);
      expect(proxy.errors.map(({ request }) => request)).toEqual(
        Array.from({ length: 2 }, () => "GET /sub, Host: test (subrequest)"),
      );
    });

    test("is taken at the client's pace, and none of it is lost", async () => {
      const length = 24 * 1024 * 1024;
      const bytes = patternBytes(length);
      let sent = 0;
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
        for (; sent < length; sent += 65_536) await connection.sent(bytes.subarray(sent, sent + 65_536));
      });
      await using proxy = await startProxy(piping(origin));
      const client = await proxy.connect();
      client.pause().send(get());
      await origin.connection();
      // What systems and queues hold, but not all of it.
      expect(await settled(() => sent)).toBeLessThan(length);
      client.resume();
      expect((await client.message()).body.equals(bytes)).toBe(true);
    });
  });

  describe("the client's body", () => {
    test("goes to the subrequest, of known length and chunked", async () => {
      await using origin = await echoing(leg);
      const app = piping(origin, { body: "expect" });
      await using proxy = await startProxy(app);
      const body = patternBytes(1_000_000);
      const client = await proxy.send(...post(body));
      const first = await client.message();
      expect([first.field("x-asked"), first.body.equals(body)]).toEqual(["POST /sub HTTP/1.1", true]);
      client.send("POST /main HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(body));
      expect((await client.message()).body.equals(body)).toBe(true);
    });

    test("is taken at the origin's pace, and none of it is lost", async () => {
      const body = patternBytes(24 * 1024 * 1024);
      const asked = gate();
      const reading = gate();
      let got: Buffer | undefined;
      await using origin = await startOrigin(async (connection) => {
        connection.pause();
        asked.open();
        await reading.opened;
        connection.resume();
        ({ body: got } = await connection.message());
        connection.send(OK);
      });
      await using proxy = await startProxy(piping(origin, { body: "expect" }));
      const client = await proxy.connect();
      const [head] = post(body);
      let sent = 0;
      const sending = (async () => {
        await client.sent(head);
        for (; sent < body.length; sent += 65_536) await client.sent(body.subarray(sent, sent + 65_536));
      })();
      await asked.opened;
      // What systems and queues hold, but not all of it.
      expect(await settled(() => sent)).toBeLessThan(body.length);
      reading.open();
      await sending;
      expect((await client.message()).status).toBe(200);
      expect(got!.equals(body)).toBe(true);
    });

    test("is waited for as the client was told to wait: 100 Continue passes", async () => {
      await using origin = await startOrigin(async (connection) => {
        const request = await connection.upTo("\r\n\r\n");
        expect(request).toMatch(/\r\nexpect: 100-continue\r\n/i);
        connection.send("HTTP/1.1 100 Continue\r\n\r\n");
        expect((await connection.bytes(2)).toString()).toBe("hi");
        connection.send(OK);
      });
      await using proxy = await startProxy(piping(origin, { body: "expect" }));
      const [head, body] = post("hi", "Expect: 100-continue\r\n");
      const client = await proxy.send(head);
      expect((await client.message()).status).toBe(100);
      client.send(body);
      expect((await client.message()).status).toBe(200);
      expect(origin.failures).toEqual([]);
    });

    test("that nobody wants is not read", async () => {
      await using proxy = await startProxy({
        ...piping({ address: "127.0.0.1:1" }, { body: "expect" }),
        earlyRequestFilter: (session) => (session.isSubrequest ? session.respond(403) : undefined),
      });
      const client = await proxy.send(...post("hi"));
      const { status, field } = await client.message();
      expect([status, field("connection")]).toEqual([403, closing]);
      const { session } = await proxy.whenFinished(2);
      expect(session.downstream.requestBodyBytes).toBe(0);
    });

    test("that there is none of: the subrequest has none, nor its fields", async () => {
      const heads: string[] = [];
      await using origin = await startOrigin(async (connection) => {
        heads.push(await connection.upTo("\r\n\r\n"));
        connection.send(OK);
      });
      await using proxy = await startProxy(piping(origin, { body: "expect", fields: { "Content-Type": "a/b" } }));
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
      expect(heads[0]).not.toMatch(/content-|transfer-/i);
    });

    test("is kept for further subrequests, of which the last answers", async () => {
      await using origin = await echoing(leg);
      const seen: unknown[] = [];
      const filter = async (session: Session): Promise<PipedSubrequest["responded"]> => {
        const { subrequests } = session;
        const first = await pipeSubrequest(session, subrequests!.create({ target: "/first", body: "expect" }), {
          input: clientBody({ saveUpToBytes: 10 }),
          filter: () => undefined,
        });
        seen.push([first.headerReceived, first.responded, first.savedBody!.isBodyComplete]);
        const fields = { "Content-Length": "77" };
        const second = await pipeSubrequest(
          session,
          subrequests!.create({ target: "/second", body: "expect", fields }),
          {
            input: first.savedBody!.toInput(),
          },
        );
        return second.responded;
      };
      await using proxy = await startProxy(spawning(origin, filter));
      const client = await proxy.send(...post("0123456789"), ...post("abc"));
      for (const body of ["0123456789", "abc"]) {
        const message = await client.message();
        expect([message.field("x-asked"), message.body.toString()]).toEqual(["POST /second HTTP/1.1", body]);
      }
      expect(seen).toEqual([
        [true, undefined, true],
        [true, undefined, true],
      ]);
    });

    test("that is more than is kept goes through all the same, but not a second time", async () => {
      await using origin = await echoing(leg);
      const app = piping(origin, { body: "expect" }, { input: clientBody({ saveUpToBytes: 9 }) });
      await using proxy = await startProxy(app);
      const client = await proxy.send(...post("0123456789"));
      expect((await client.message()).body.toString()).toBe("0123456789");
      const { savedBody } = app.piped[0]!;
      expect([savedBody!.truncated, savedBody!.isBodyComplete, savedBody!.pieces]).toEqual([true, false, []]);
      expect(() => savedBody!.toInput()).toThrow("the saved body is not complete: it has more than 9 bytes");
    });

    test("with trailers keeps them, also when it is kept", async () => {
      const bodies: unknown[] = [];
      await using origin = await startOrigin(async (connection) => {
        for (;;) {
          const { body, trailers } = await connection.message();
          bodies.push([body.toString(), trailers]);
          connection.send(OK);
        }
      });
      const filter = async (session: Session): Promise<PipedSubrequest["responded"]> => {
        const create = { body: "expect" } as const;
        const first = await pipeSubrequest(session, session.subrequests!.create(create), {
          input: clientBody({ saveUpToBytes: 100 }),
          filter: () => undefined,
        });
        const input = first.savedBody!.toInput();
        return (await pipeSubrequest(session, session.subrequests!.create(create), { input })).responded;
      };
      await using proxy = await startProxy(spawning(origin, filter));
      const body = chunked(Buffer.from("abc"), 2, "Sum: 1\r\n");
      const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n", body);
      expect((await client.message()).status).toBe(200);
      expect(bodies).toEqual(Array.from({ length: 2 }, () => ["abc", [["Sum", "1"]]]));
    });
  });

  test.each([
    ["text", presetBody("päckchen"), "päckchen"],
    ["pieces", presetBody([Buffer.from("ab"), new Uint8Array(0), Buffer.from("c")]), "abc"],
    ["nothing", presetBody(), ""],
  ])("a preset body of %s takes the place of the client's", async (_, input, expected) => {
    await using origin = await echoing(leg);
    await using proxy = await startProxy(piping(origin, { body: "expect" }, { input }));
    const client = await proxy.send(...post("from the client", "Expect: 100-continue\r\n"));
    const { body, field } = await client.message();
    // The client's is left unread.
    expect([body.toString(), field("connection")]).toEqual([expected, closing]);
  });

  describe("the filter", () => {
    test("may edit, replace and drop what goes to the client", async () => {
      const response = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
      await using origin = await answering(response, chunked(Buffer.from("hello"), 60, "Sum: 1\r\n"));
      const filter: PipeSubrequestOptions["filter"] = (event) => {
        if (event.type === "informational" || event.type === "trailers") return undefined;
        if (event.type === "header") event.header.set("X-Filtered", "yes");
        return event.type === "data" ? { type: "data", data: Buffer.from("HELLO") } : event;
      };
      await using proxy = await startProxy(piping(origin, {}, { filter }));
      const client = await proxy.send(get());
      const { status, field, body, trailers } = await client.message();
      expect([status, field("x-filtered"), body.toString(), trailers]).toEqual([200, "yes", "HELLO", []]);
    });

    test.each([
      ["throws an error of ours", throwing(ProxyError.httpStatus(418)), 418, "HTTPStatus"],
      ["throws anything else", throwing(new Error("oops")), 500, "thrown in the filter of pipeSubrequest cause: oops"],
      [
        "gives a promise",
        () => Promise.reject(new Error("late")),
        500,
        "must return an event or nothing; it returned a promise",
      ],
      ["gives something else", () => 1, 500, "must return an event or nothing; it returned 1"],
    ])("that %s fails the pipe, and the subrequest is given up", async (_, filter, status, message) => {
      await using origin = await answering(OK);
      await using proxy = await startProxy(piping(origin, {}, { filter: filter as never }));
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(status);
      await proxy.whenFinished(2);
      const main = proxy.finished.find(({ session }) => !session.isSubrequest)!;
      expect(main.error).toBeInstanceOf(PipeSubrequestError);
      expect(main.error).toMatchObject({ fromSubrequest: false, state: { headerReceived: true } });
      expect(main.error!.message).toMatch(message);
    });

    test("that drops the head and nothing else fails: a body needs one", async () => {
      await using origin = await answering(OK);
      const filter: PipeSubrequestOptions["filter"] = (event) => (event.type === "header" ? undefined : event);
      await using proxy = await startProxy(piping(origin, {}, { filter }));
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(500);
    });
  });

  function throwing(error: Error): () => never {
    return () => {
      throw error;
    };
  }
});
