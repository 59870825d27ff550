import { once } from "node:events";
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import type { Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { patternBytes } from "./support/message.ts";
import { answering, OK, Origin } from "./support/origin.ts";
import { gate, get, startProxy, type TestApp } from "./support/proxy.ts";
import { settled } from "./support/settled.ts";

/** What stands in the place of bytes that were lent. */
const NOTICE = "[lent for the call of a hook, and kept without a copy]";

/** Of pieces as they come, and as they would be if nobody had kept them wrongly. */
interface Kept {
  readonly pieces: Uint8Array[];
  readonly copies: Buffer[];
}

const lengthOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { length }) => sum + length, 0);

/** Every way to see a body, keeping it without a copy. */
const KEEPERS: [hook: string, app: (keep: (piece: Uint8Array | undefined) => void) => TestApp<object>][] = [
  ["requestBodyFilter", (keep) => ({ requestBodyFilter: (_session, piece) => keep(piece) })],
  ["upstreamResponseBodyFilter", (keep) => ({ upstreamResponseBodyFilter: (_session, piece) => keep(piece) })],
  ["responseBodyFilter", (keep) => ({ responseBodyFilter: (_session, piece) => keep(piece) })],
  ["a module's requestBody", (keep) => withModule({ requestBody: keep })],
  ["a module's responseBody", (keep) => withModule({ responseBody: keep })],
];

interface BodyHooks {
  requestBody?: (piece: Uint8Array | undefined) => void;
  responseBody?: (piece: Uint8Array | undefined) => void;
  responseDone?: () => Promise<void>;
}

/** A module that sees one of the bodies. */
class Keeper implements BodyHooks {
  requestBody?: (piece: Uint8Array | undefined) => void;
  responseBody?: (piece: Uint8Array | undefined) => void;
  responseDone?: () => Promise<void>;

  constructor(hooks: BodyHooks) {
    if (hooks.requestBody !== undefined) this.requestBody = hooks.requestBody;
    if (hooks.responseBody !== undefined) this.responseBody = hooks.responseBody;
    if (hooks.responseDone !== undefined) this.responseDone = hooks.responseDone;
  }
}

function withModule(hooks: BodyHooks): TestApp<object> {
  return {
    initDownstreamModules: (modules) => void modules.add({ type: Keeper, init: () => new Keeper(hooks) }),
  };
}

/** Passes bodies of this size both ways, twice on one connection, and gives what was kept of them. */
async function keptOf(app: (typeof KEEPERS)[number][1], body: Buffer): Promise<Kept> {
  const kept: Kept = { pieces: [], copies: [] };
  await using origin = await answering(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body);
  await using proxy = await startProxy({
    origin,
    ...app((piece) => {
      if (piece === undefined) return;
      kept.pieces.push(piece);
      kept.copies.push(Buffer.from(piece));
    }),
  });
  const client = await proxy.connect();
  for (let request = 0; request < 2; request++) {
    client.send(`POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
    expect((await client.message()).body.equals(body)).toBe(true);
  }
  return kept;
}

describe.each(KEEPERS)("%s", (_hook, app) => {
  test("whoever keeps a small piece without a copy finds a notice in its place", async () => {
    const { pieces, copies } = await keptOf(app, Buffer.from("x".repeat(200)));
    expect(Buffer.concat(copies).toString()).toBe("x".repeat(400));
    // The first request body waits until there is an upstream: it has memory of its own, as all that waits.
    expect(Buffer.from(pieces.at(-1)!).toString()).toContain(NOTICE);
  });

  test("and never finds other bytes than there were, in a large one", async () => {
    const body = patternBytes(1_000_000);
    const { pieces, copies } = await keptOf(app, body);
    expect(Buffer.concat(copies).equals(Buffer.concat([body, body]))).toBe(true);
    for (const [at, piece] of pieces.entries()) {
      const untouched = piece.length === copies[at]!.length && copies[at]!.equals(piece);
      // Where the next one did not take the bytes at once, they have memory of their own.
      if (!untouched && piece.length > 2 * NOTICE.length)
        expect(Buffer.from(piece).toString("latin1")).toContain(NOTICE);
    }
    expect(lengthOf(pieces)).toBeLessThan(lengthOf(copies));
  });
});

test("a hook that takes its time has the piece until then, and what comes meanwhile does not touch it", async () => {
  const seen: string[] = [];
  const { opened, open } = gate();
  await using origin = await answering(OK);
  await using proxy = await startProxy({
    origin,
    async requestBodyFilter(_session, piece) {
      if (piece === undefined) return;
      if (seen.length === 0) await opened;
      else await setImmediate();
      seen.push(Buffer.from(piece).toString());
    },
  });
  const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n");
  await origin.connection();
  client.send("one");
  await settled(() => proxy.begun);
  client.send("two");
  await settled(() => proxy.begun);
  client.send("six");
  open();
  await client.message();
  expect(seen.join("")).toBe("onetwosix");
});

test.each(["upstreamResponseBodyFilter", "responseBodyFilter"] as const)(
  "a piece that %s has delayed is whole when it goes on",
  async (hook) => {
    const body = patternBytes(300_000);
    await using origin = await answering(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body);
    await using proxy = await startProxy({
      origin,
      [hook]: (_session: Session, piece: Uint8Array | undefined) => (piece === undefined ? undefined : { delayMs: 1 }),
    });
    const client = await proxy.send(get());
    expect((await client.message()).body.equals(body)).toBe(true);
  },
);

/** Sends a body by so much at a time that each is read by itself. */
async function sendInBits(socket: Socket, body: Buffer): Promise<void> {
  for (let at = 0; at < body.length; at += 3000) {
    if (!socket.write(body.subarray(at, at + 3000))) await once(socket, "drain");
    await setImmediate();
  }
}

// More than the system takes for a socket that nobody reads.
const MUCH = patternBytes(9_000_000);

test("a client that reads late gets what was written while it did not, with filters that see it", async () => {
  await using origin = await Origin.start(async (connection) => {
    await connection.message();
    connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${MUCH.length}\r\n\r\n`);
    await sendInBits(connection.tcp, MUCH);
  });
  await using proxy = await startProxy({ origin, responseBodyFilter: () => undefined });
  const client = (await proxy.connect()).pause().send(get());
  await settled(() => origin.connections[0]?.tcp.bytesWritten ?? 0);
  expect((await client.resume().message()).body.equals(MUCH)).toBe(true);
});

test("so does an origin", async () => {
  const { opened, open } = gate();
  let received: Buffer | undefined;
  await using origin = await Origin.start(async (connection) => {
    connection.pause();
    await opened;
    received = (await connection.resume().message()).body;
    connection.send(OK);
  });
  await using proxy = await startProxy({ origin, requestBodyFilter: () => undefined });
  const client = await proxy.send(`POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${MUCH.length}\r\n\r\n`);
  const sent = sendInBits(client.tcp, MUCH);
  await settled(() => client.tcp.bytesWritten);
  open();
  await sent;
  await client.message();
  expect(received?.equals(MUCH)).toBe(true);
});

test("what a module has let pass is sent again as it was", async () => {
  const body = patternBytes(40_000);
  const received: Buffer[] = [];
  await using origin = await Origin.start(async (connection) => {
    received.push((await connection.message()).body);
    if (connection.index === 0) connection.close();
    else connection.send(OK);
  });
  await using proxy = await startProxy({
    origin,
    ...withModule({ requestBody: () => undefined }),
    errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
  });
  const client = await proxy.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`);
  await origin.connection();
  client.send(body);
  expect((await client.message()).status).toBe(200);
  expect(received.map((each) => each.equals(body))).toEqual([true, true]);
});

describe("the last piece, which is held until the end is there, is whole", () => {
  test.each([
    ["a longer one", "5\r\nhello\r\n"],
    ["one of a single byte", "4\r\nhell\r\n1\r\no\r\n"],
  ])("%s, though the end comes with another read", async (_what, chunks) => {
    const { opened, open } = gate();
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`);
      await opened;
      connection.send("0\r\nX-Trailer: aaaaaaaaaaaaaaaa\r\n\r\n");
    });
    await using proxy = await startProxy({
      origin,
      responseFilter: (_session, response) => void response.set("Content-Length", 5),
      responseBodyFilter: () => undefined,
    });
    const client = await proxy.send(get());
    await client.upTo("hell");
    open();
    expect(await client.upTo("o")).toBe("o");
  });

  test.each(["hello", "o"])("%s, though a module takes its time at the end", async (body) => {
    await using origin = await answering(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await using proxy = await startProxy({ origin, ...withModule({ responseDone: () => setImmediate() }) });
    const client = await proxy.send(get());
    expect((await client.message()).body.toString()).toBe(body);
  });

  test.each(["hello", "o"])("%s, though a filter delays the end", async (body) => {
    await using origin = await answering(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await using proxy = await startProxy({
      origin,
      responseBodyFilter: (_session, _piece, end) => (end ? { delayMs: 1 } : undefined),
    });
    const client = await proxy.send(get());
    expect((await client.message()).body.toString()).toBe(body);
  });
});

const HOOKS_AT_THE_END: Record<string, TestApp<object>> = {
  "a filter that passes it on": { responseBodyFilter: () => undefined },
  "a filter that delays the end": {
    responseBodyFilter: (_session, _piece, end) => (end ? { delayMs: 0.5 } : undefined),
  },
  "a module that takes its time at the end": withModule({ responseDone: () => setImmediate() }),
};

describe.each(Object.keys(HOOKS_AT_THE_END))("a last piece behind %s", (what) => {
  // Together more than the system takes for a client that does not read, so that one of them is in the middle of being written.
  const REQUESTS = 500;
  const BYTES = 30_000;
  const bodyOf = (number: number): Buffer => MUCH.subarray(number * 4, number * 4 + BYTES);

  test("is whole also for a client that takes it late", async () => {
    let answered = 0;
    await using origin = await Origin.start(async (connection) => {
      for (;;) {
        const number = Number((await connection.message()).startLine.split("/")[1]!.split(" ")[0]);
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BYTES}\r\n\r\n`, bodyOf(number));
        answered++;
      }
    });
    await using proxy = await startProxy({ origin, ...HOOKS_AT_THE_END[what] });
    const client = (await proxy.connect()).pause();
    client.send(Array.from({ length: REQUESTS }, (_, number) => get(`/${number}`)).join(""));
    // The proxy takes no further request as soon as it holds more than a little for this client.
    expect(await settled(() => answered)).toBeLessThan(REQUESTS);
    client.resume();
    const wrong: number[] = [];
    for (let number = 0; number < REQUESTS; number++) {
      if (!(await client.message()).body.equals(bodyOf(number))) wrong.push(number);
    }
    expect(wrong).toEqual([]);
  });
});
