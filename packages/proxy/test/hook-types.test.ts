import { Server } from "@sluice/core";
import { HttpPeer, httpProxy, type ProxyHttp, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";

/**
 * What the compiler refuses. Each line below that it must refuse is marked, and a mark on a line that it takes is an error of the
 * type check; what the compiler cannot see fails when the proxy is made, or when the hook runs (misuse.test.ts).
 */

interface Ctx {
  tries: number;
}

const app: ProxyHttp<Ctx> = { newCtx: () => ({ tries: 0 }), upstreamPeer: () => new HttpPeer("127.0.0.1:1") };

const bytes = new Uint8Array();

declare const peerLike: { [Key in keyof HttpPeer]: HttpPeer[Key] };

/** Hooks that cannot wait, with promises. */
export const WAITING: ProxyHttp<Ctx>[] = [
  // @ts-expect-error The context must be there at once.
  { ...app, newCtx: async () => ({ tries: 0 }) },
  // @ts-expect-error
  { ...app, onConnectionReuse: async () => undefined },
  // @ts-expect-error
  { ...app, failToConnect: async (_session, _peer, _ctx, error) => error },
  // @ts-expect-error
  { ...app, errorWhileProxy: async (_peer, _session, error) => error },
  // @ts-expect-error
  { ...app, upstreamResponseBodyFilter: async () => bytes },
  // @ts-expect-error
  { ...app, responseBodyFilter: async () => bytes },
  // @ts-expect-error
  { ...app, suppressErrorLog: async () => true },
  // @ts-expect-error
  { ...app, requestSummary: async () => "a summary" },
];

/** Results that are none. */
export const WRONG: ProxyHttp<Ctx>[] = [
  // @ts-expect-error To have answered is said by what `session.respond` returns.
  { ...app, requestFilter: () => true },
  // @ts-expect-error
  { ...app, earlyRequestFilter: async () => 403 },
  // @ts-expect-error
  { ...app, proxyUpstreamFilter: () => false },
  // @ts-expect-error The only value of that type comes from a session.
  { ...app, requestFilter: () => ({}) },
  // @ts-expect-error
  { ...app, upstreamPeer: () => "127.0.0.1:1" },
  // @ts-expect-error
  { ...app, upstreamPeer: () => undefined },
  // @ts-expect-error Only the constructor makes a peer.
  { ...app, upstreamPeer: () => peerLike },
  // @ts-expect-error An error that is lost would be a success.
  { ...app, failToConnect: () => undefined },
  // @ts-expect-error
  { ...app, errorWhileProxy: (_peer, _session, error) => error.shouldRetry() },
  // @ts-expect-error
  { ...app, requestBodyFilter: () => "text" },
  // @ts-expect-error
  { ...app, responseBodyFilter: () => "text" },
  // @ts-expect-error
  { ...app, failToProxy: () => undefined },
  // @ts-expect-error
  { ...app, failToProxy: () => ({ reuse: true }) },
  // @ts-expect-error
  { ...app, errorPage: () => "a page" },
  // @ts-expect-error
  { ...app, errorPage: () => ({ html: "a page" }) },
  // @ts-expect-error There is no such hook.
  { ...app, requestFiter: () => undefined },
];

/** What a connection keeps has one type. */
export const CONNECTIONS: ProxyHttp<Ctx, string>[] = [
  { ...app, onConnectionReuse: (_session, _ctx, previous) => void previous.length, persistConnectionContext: () => "" },
  // @ts-expect-error
  { ...app, persistConnectionContext: () => 5 },
  // @ts-expect-error
  { ...app, onConnectionReuse: (_session, _ctx, previous: number) => void previous },
];

/** What must be taken: every way of waiting, answering, or saying nothing. */
export const RIGHT: ProxyHttp<Ctx>[] = [
  { ...app, upstreamPeer: async () => new HttpPeer("127.0.0.1:1"), logging: async () => undefined },
  {
    ...app,
    earlyRequestFilter: (session) => session.respond(403),
    requestFilter: async (session) => session.respond(403),
  },
  { ...app, requestFilter: () => undefined, proxyUpstreamFilter: (session) => session.decline() },
  {
    ...app,
    requestFilter(session) {
      if (session.request.path === "/admin") return session.respond(403);
      return undefined;
    },
  },
  { ...app, failToProxy: () => 503 },
  { ...app, failToProxy: async () => ({ status: 503, reuse: false }) },
  { ...app, errorPage: async (_session, status) => ({ fields: { "Retry-After": 1 }, body: `${status}` }) },
  { ...app, errorPage: () => undefined },
  { ...app, requestBodyFilter: async () => bytes, responseBodyFilter: () => undefined },
];

test("the context's type is that of newCtx", () => {
  const service = httpProxy(new Server(), {
    newCtx: () => ({ seen: [] as string[] }),
    upstreamPeer: (session, ctx) => new HttpPeer(ctx.seen[0] ?? session.request.target),
    logging: (_session, _error, ctx) => void ctx.seen.push("logging"),
  });
  expect(service.proxy.app.newCtx().seen).toEqual([]);
});

describe("what the compiler may not see is refused when the proxy is made", () => {
  const server = new Server();
  const quiet = (_session: Session): void => undefined;

  class Base {
    newCtx(): object {
      return {};
    }
    upstreamPeer(): HttpPeer {
      return new HttpPeer("127.0.0.1:1");
    }
  }

  class Misspelt extends Base {
    requestFliter(session: Session): void {
      quiet(session);
    }
  }

  class Heir extends Misspelt {}

  class Field extends Base {
    readonly logingg = quiet;
  }

  test.each([
    ["a method", new Misspelt(), "requestFliter(), which is no hook; did you mean requestFilter()"],
    ["a method that was inherited", new Heir(), "requestFliter()"],
    ["a function in a field", new Field(), "logingg(), which is no hook; did you mean logging()"],
  ])("a misspelt hook of a class: %s", (_what, misspelt, message) => {
    expect(() => httpProxy(server, misspelt)).toThrow(message);
  });

  test("methods of an app's own, getters and private ones are its own affair", () => {
    class Own extends Base {
      get requestFiltr(): () => void {
        throw new Error("a getter is not asked");
      }
      describe(): string {
        return "mine";
      }
      logging(): void {
        this.#requestFliter();
      }
      #requestFliter(): void {}
    }
    expect(httpProxy(server, new Own()).proxy.app).toBeInstanceOf(Own);
  });
});
