import { once } from "node:events";
import { constants, type Http2Stream } from "node:http2";
import type { Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";
import { LEGS, TRUSTED } from "./legs.ts";
import { line } from "./line.ts";
import type { Visit } from "./matrix-origin.ts";

/** How an origin may leave a response that is not complete. */
const CUTS: readonly (readonly [what: string, upstream: 1 | 2, cut: (visit: Visit) => void])[] = [
  ["RST_STREAM with NO_ERROR", 2, (visit) => resetStream(visit, constants.NGHTTP2_NO_ERROR)],
  ["RST_STREAM with CANCEL", 2, (visit) => resetStream(visit, constants.NGHTTP2_CANCEL)],
  ["RST_STREAM with REFUSED_STREAM", 2, (visit) => resetStream(visit, constants.NGHTTP2_REFUSED_STREAM)],
  ["the end of the connection", 2, (visit) => below(visit).end()],
  ["the loss of the connection", 2, (visit) => below(visit).destroy()],
  ["the end of the connection", 1, (visit) => below(visit).end()],
  ["the loss of the connection", 1, (visit) => below(visit).destroy()],
];

/** How the versions say it. */
const CUT = /aborted|cut|closed|reset|hang up|ECONNRESET|NGHTTP2/;

function streamOf({ response }: Visit): Http2Stream {
  return (response as unknown as { stream: Http2Stream }).stream;
}

function resetStream(visit: Visit, code: number): void {
  const stream = streamOf(visit);
  // Node ends what it resets.
  stream._final = () => undefined;
  stream.close(code);
}

/** The socket of TCP: TLS says nothing when it ends. */
function below({ response }: Visit): Socket {
  const socket = ("stream" in response ? socketOf(response.stream as Http2Stream) : response.socket!) as TLSSocket & {
    _parent?: Socket;
  };
  return socket._parent ?? socket;
}

/** What Node gives as the socket of a session of HTTP/2 cannot be ended. */
function socketOf({ session }: Http2Stream): Socket {
  const owned = session as unknown as Record<symbol, Socket>;
  return owned[Object.getOwnPropertySymbols(owned).find(({ description }) => description === "socket")!]!;
}

function begin(visit: Visit, length: number | undefined): void {
  const { response } = visit;
  response.writeHead(200, length === undefined ? {} : { "content-length": length });
  response.write("half of it");
}

const CASES = LEGS.flatMap((leg) =>
  CUTS.filter(([, upstream]) => upstream === leg.upstream).flatMap(([what, , cut]) =>
    ([undefined, 100] as const).map((length) => ({ leg, what, cut, length, name: leg.name })),
  ),
);

describe("an answer that its origin leaves in the middle never looks whole", () => {
  test.each(CASES)("$name, by $what, Content-Length $length", async ({ leg, cut, length }) => {
    const go = Promise.withResolvers<void>();
    await using on = await line(leg, async (visit) => {
      begin(visit, length);
      await go.promise;
      cut(visit);
    });
    const exchange = on.client.ask({});
    await exchange.head;
    while (exchange.received < 10) await new Promise((resolve) => setImmediate(resolve));
    go.resolve();
    await expect(exchange.answered).rejects.toThrow(CUT);
    expect((await on.proxy.whenFinished()).error?.source).toBe("upstream");
  });
});

describe("an answer without a length whose end is that of the connection", () => {
  test.each(LEGS.filter(({ upstream, tls }) => upstream === 1 && tls))(
    "is cut, where TLS does not say that it ended: $name",
    async (leg) => {
      await using on = await line(leg, (visit) => {
        visit.response.socket!.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it", () => {
          below(visit).end();
        });
      });
      const exchange = on.client.ask({});
      await exchange.head;
      await expect(exchange.answered).rejects.toThrow(CUT);
      expect((await on.proxy.whenFinished()).error?.source).toBe("upstream");
    },
  );
});

describe("an upload that its client leaves in the middle never looks whole", () => {
  test.each(LEGS.flatMap((leg) => [undefined, 100].map((length) => ({ leg, length, name: leg.name }))))(
    "$name, Content-Length $length",
    async ({ leg, length }) => {
      let ended = false;
      const arrived = Promise.withResolvers<void>();
      await using on = await line(leg, (visit) => {
        const { request } = visit;
        const push = request.push.bind(request);
        request.push = (chunk: unknown, encoding?: BufferEncoding) => {
          if (chunk === null && !request.aborted && (!("stream" in request) || !request.stream.closed)) ended = true;
          return push(chunk, encoding);
        };
        request.once("data", () => arrived.resolve());
      });
      const fields: Record<string, string> = length === undefined ? {} : { "content-length": `${length}` };
      const exchange = on.client.ask({ method: "POST", fields, stream: (write) => write("first") });
      await arrived.promise;
      exchange.leave();
      await on.visits[0]!.aborted;
      await on.proxy.whenFinished();
      expect(ended).toBe(false);
    },
  );
});

test("a client whose connection ends without a word of TLS has sent no whole upload", async () => {
  const leg = LEGS.find(({ downstream, upstream, tls }) => downstream === 1 && upstream === 1 && tls)!;
  const arrived = Promise.withResolvers<void>();
  await using on = await line(leg, ({ request }) => void request.once("data", () => arrived.resolve()));
  const [host, port] = on.proxy.address.split(":");
  const socket = connectTls({ host: host!, port: Number(port), ca: TRUSTED });
  socket.on("error", () => undefined);
  await once(socket, "secureConnect");
  socket.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nfirst");
  await arrived.promise;
  socket.destroy();
  await on.visits[0]!.aborted;
  expect((await on.proxy.whenFinished()).error?.source).toBe("downstream");
});
