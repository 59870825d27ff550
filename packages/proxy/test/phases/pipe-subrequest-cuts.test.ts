import type { HttpModule } from "@sluice/core";
import type { PipeSubrequestOptions } from "@sluice/proxy";
import { expect, test } from "vitest";
import { gate, get, type TestApp } from "../support/proxy.ts";
import { echoing, ended, piping } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

function refuse(): never {
  throw new Error("the sum is wrong");
}

overLegs(({ leg, startOrigin, startProxy }) => {
  const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  const WITH_TRAILERS =
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";

  /** What refuses the answer of a subrequest when all of its bytes have come. */
  const REFUSING: [string, string, TestApp<object>, PipeSubrequestOptions?][] = [
    ["its responseBodyFilter", ANSWER, { responseBodyFilter: (_session, _piece, end) => (end ? refuse() : undefined) }],
    [
      "its upstreamResponseBodyFilter, where a filter has told a length,",
      CHUNKED,
      {
        upstreamResponseFilter: (_session, header) => void header.set("Content-Length", 5),
        upstreamResponseBodyFilter: (_session, _piece, end) => (end ? refuse() : undefined),
      },
    ],
    ["the filter of the pipe", ANSWER, {}, { filter: (event) => (event.type === "end" ? refuse() : event) }],
    [
      "the filter of the pipe, which drops the end,",
      ANSWER,
      {},
      { filter: (event) => (event.type === "end" ? undefined : event) },
    ],
  ];
  // Only by HTTP/2 there may be trailers behind a body with Content-Length.
  if (leg.upstream === 2) {
    REFUSING.push(
      ["its upstreamResponseTrailerFilter", WITH_TRAILERS, { upstreamResponseTrailerFilter: refuse }],
      ["its responseTrailerFilter", WITH_TRAILERS, { responseTrailerFilter: async () => refuse() }],
    );
  }

  test.for(REFUSING)(
    "%s refuses the end of an answer: the client gets no whole one",
    async ([, answer, more, options]) => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(answer);
      });
      await using proxy = await startProxy(piping(origin, {}, options, more));
      const client = await proxy.send(get());
      await client.whenEnded();
      const { main } = await ended(proxy);
      expect(main.session.outcome.how).toBe("cut");
      if (leg.downstream === 1) expect(client.peek()).not.toContain("hello");
      else expect(client.socket.cut).toBe(true);
    },
  );

  /** Of the request alone: its subrequest has modules of its own. */
  abstract class OfMain {
    protected readonly refuses: boolean;

    constructor(isMain: boolean) {
      this.refuses = isMain;
    }
  }

  class Body extends OfMain {
    async requestBody(_piece: Uint8Array | undefined, end: boolean): Promise<void> {
      if (!end || !this.refuses) return;
      // Long enough for all of it to have gone up.
      for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
      refuse();
    }
  }

  class Trailers extends OfMain {
    requestTrailers(): void {
      if (this.refuses) refuse();
    }
  }

  function registering(type: new (isMain: boolean) => HttpModule): TestApp<object> {
    return {
      initDownstreamModules: (modules) =>
        void modules.add({ type, init: ({ request }) => new type(request.target === "/") }),
    };
  }

  const UPLOAD = ["POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhel", "lo"] as const;
  const UPLOAD_WITH_TRAILERS = [
    "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
    "2\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n",
  ] as const;

  const REFUSED: [string, readonly [string, string], TestApp<object>][] = [
    ["a module of the request", UPLOAD, registering(Body)],
  ];
  if (leg.downstream === 2)
    REFUSED.push(["a module of the request that sees the trailers", UPLOAD_WITH_TRAILERS, registering(Trailers)]);
  // By HTTP/2 the end of a body is told apart from its bytes.
  if (leg.upstream === 1) {
    const requestBodyFilter: TestApp<object>["requestBodyFilter"] = (_session, _piece, end) =>
      end ? refuse() : undefined;
    REFUSED.push(["its requestBodyFilter", UPLOAD, { requestBodyFilter }]);
    if (leg.downstream === 2)
      REFUSED.push(["its requestTrailerFilter", UPLOAD_WITH_TRAILERS, { requestTrailerFilter: async () => refuse() }]);
  }

  test.for(REFUSED)(
    "%s refuses the end of a body that goes to a subrequest: the origin gets no whole one",
    async ([, [begin, rest], more]) => {
      const begun = gate();
      const got = Promise.withResolvers<string>();
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\nhel");
        begun.open();
        await connection.whenEnded();
        got.resolve(connection.peek());
      });
      await using proxy = await startProxy(piping(origin, { body: "expect" }, {}, more));
      const client = await proxy.send(begin);
      await begun.opened;
      client.send(rest);
      const { sub } = await ended(proxy);
      expect(sub.error).toBeDefined();
      expect(await got.promise).not.toBe("lo");
    },
  );

  test.for(leg.downstream === 2 ? ["a body with Content-Length"] : [])(
    "trailers behind %s go to the subrequest as well",
    async () => {
      await using origin = await echoing(leg);
      const seen: (readonly [string, string])[] = [];
      const requestTrailerFilter: TestApp<object>["requestTrailerFilter"] = (session, trailers) => {
        if (session.isSubrequest) seen.push(...trailers);
      };
      await using proxy = await startProxy(piping(origin, { body: "expect" }, {}, { requestTrailerFilter }));
      const client = await proxy.send(...UPLOAD_WITH_TRAILERS);
      expect((await client.message()).body.toString()).toBe("hello");
      expect(seen).toEqual([["x-sum", "1"]]);
    },
  );
});
