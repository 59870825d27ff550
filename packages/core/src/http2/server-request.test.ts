import { expect, test } from "vitest";
import { Http2Served } from "../../test/http2-harness.ts";
import { FLAG, FRAME, requestFields } from "../testing/index.ts";

type Fields = [name: string, value: string][];

/** The fields of a GET with others in their place, or without those that are `null`, and more behind them. */
function get(changes: Record<string, string | null> = {}, more: Fields = []): Fields {
  const fields = new Map(requestFields("GET"));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) fields.delete(name);
    else fields.set(name, value);
  }
  return [...fields, ...more];
}

function extendedConnect(protocol: string, more: Fields = []): Fields {
  return [[":method", "CONNECT"], [":protocol", protocol], ...requestFields("GET").slice(1), ...more];
}

/** Sends it as a frame; tells the reset's code or the status, and what the app was told. */
async function send(fields: Fields): Promise<{ outcome: string; served: Http2Served }> {
  const served = await Http2Served.start(undefined, { maxHeadBytes: 4000, maxFields: 50 });
  const client = await served.frames();
  client.headers(1, fields);
  const reset = client.reset(1).then((code) => `reset ${code}`);
  const status = client.status(1).then((code) => `status ${code}`);
  const outcome = await Promise.any([reset, status]);
  Promise.allSettled([reset, status]).catch(() => undefined);
  return { outcome, served };
}

test.each<[what: string, fields: Fields]>([
  ["no :method", get({ ":method": null })],
  ["no :scheme", get({ ":scheme": null })],
  ["no :path", get({ ":path": null })],
  ["an empty :path", get({ ":path": "" })],
  ["neither :authority nor Host", get({ ":authority": null })],
  ["an empty :authority", get({ ":authority": "" })],
  [":path twice", [...get(), [":path", "/b"]]],
  ["an unknown pseudo-header field", get({}, [[":foo", "x"]])],
  [":status", get({}, [[":status", "200"]])],
  ["a pseudo-header field behind others", [[":method", "GET"], ["x", "y"], ...requestFields("GET").slice(1)]],
  ["a name with capitals", get({}, [["X-A", "b"]])],
  ["Connection", get({}, [["connection", "close"]])],
  ["Transfer-Encoding", get({}, [["transfer-encoding", "chunked"]])],
  ["Upgrade", get({}, [["upgrade", "websocket"]])],
  ["Keep-Alive", get({}, [["keep-alive", "5"]])],
  ["Proxy-Connection", get({}, [["proxy-connection", "close"]])],
  ["TE other than trailers", get({}, [["te", "gzip"]])],
  [
    "Host twice",
    get({}, [
      ["host", "test"],
      ["host", "test"],
    ]),
  ],
  ["a user in :authority", get({ ":authority": "user@test" })],
  ["space in :authority", get({ ":authority": "a b" })],
  ["space in :path", get({ ":path": "/a b" })],
  ["a line break in :path", get({ ":path": "/a\nb" })],
  ["a :path that is no path", get({ ":path": "abc" })],
  ["a URI as :path", get({ ":path": "http://test/" })],
  ["* with GET", get({ ":path": "*" })],
  ["a method that is no token", get({ ":method": "G T" })],
  ["Content-Length that is none", get({}, [["content-length", "x"]])],
  [
    "Content-Length twice",
    get({}, [
      ["content-length", "0"],
      ["content-length", "0"],
    ]),
  ],
  ["Content-Length without content", get({}, [["content-length", "5"]])],
  [
    "CONNECT with :path",
    [
      [":method", "CONNECT"],
      [":authority", "a.test:443"],
      [":path", "/"],
    ],
  ],
  [
    "extended CONNECT without :path",
    [
      [":method", "CONNECT"],
      [":protocol", "websocket"],
      [":scheme", "http"],
      [":authority", "a"],
    ],
  ],
  [":protocol with GET", get({}, [[":protocol", "websocket"]])],
  ["a name that is none", get({}, [["x a", "b"]])],
  ["a name of no bytes", get({}, [["", "b"]])],
  ["a line break in a value", get({}, [["x-a", "b\r\nc: d"]])],
  ["NUL in a value", get({}, [["x-a", "b\0"]])],
  ["space before a value", get({}, [["x-a", " b"]])],
  ["space behind a value", get({}, [["x-a", "b\t"]])],
])("%s is reset with PROTOCOL_ERROR", async (_, fields) => {
  const { outcome, served } = await send(fields);
  await using disposed = served;
  expect(outcome).toBe("reset 1");
  expect(disposed.requests).toHaveLength(0);
});

test.each<[what: string, fields: Fields, status: number, context: string]>([
  ["Host that differs", get({}, [["host", "other"]]), 400, ":authority and Host that differ"],
  ["a fragment in :path", get({ ":path": "/a#b" }), 400, 'a :path that is none: "/a#b"'],
  ["another :scheme", get({ ":scheme": "ftp" }), 400, 'a :scheme that is not http: "ftp"'],
  ["an expectation", get({}, [["expect", "200-ok"]]), 417, "an expectation that is not known"],
  [
    "CONNECT without a port",
    [
      [":method", "CONNECT"],
      [":authority", "a.test"],
    ],
    400,
    "a CONNECT whose target is not host:port",
  ],
  ...["connect-udp", "h2c", "websocket, h2c", "websocket/13"].map((protocol): [string, Fields, number, string] => [
    `extended CONNECT for ${protocol}`,
    extendedConnect(protocol),
    501,
    `an extended CONNECT for ${JSON.stringify(protocol)}; websocket is the only one`,
  ]),
  ["an :authority that is no host", get({ ":authority": "a_b:c" }), 400, 'an :authority that is none: "a_b:c"'],
  ["too large a head", get({}, [["x-a", "a".repeat(5000)]]), 431, "a head of more than 4000 bytes"],
  ["too long a :path", get({ ":path": `/${"a".repeat(5000)}` }), 414, "a head of more than 4000 bytes"],
  [
    "too many fields",
    get(
      {},
      Array.from({ length: 55 }, (_, n) => [`x-${n}`, "a"]),
    ),
    431,
    "more than 50 fields",
  ],
])("%s is answered and logged as any failed request", async (_, fields, status, context) => {
  const { outcome, served } = await send(fields);
  await using disposed = served;
  expect(outcome).toBe(`status ${status}`);
  expect(disposed.requests[0]!.session.error?.context).toBe(context);
});

test("a head of more than twice the limits is reset", async () => {
  await using served = await Http2Served.start(undefined, { maxHeadBytes: 1000, maxFields: 10 });
  const client = await served.frames();
  // Only when the client has agreed to the settings do they count.
  await client.next(FRAME.SETTINGS, 0, ({ flags }) => flags === FLAG.ACK);
  client.ping();
  await client.next(FRAME.PING);
  client.get(1, "/", [["x", "a".repeat(5000)]]);
  client.get(
    3,
    "/",
    Array.from({ length: 40 }, (_, n) => [`x-${n}`, "a"] as [string, string]),
  );
  expect([await client.reset(1), await client.reset(3)]).toEqual([11, 11]);
  expect(served.requests).toHaveLength(0);
});

test.each<[what: string, fields: Fields, seen: Record<string, unknown>]>([
  ["Host instead of :authority", get({ ":authority": null }, [["host", "b.test"]]), { target: "/", host: ["b.test"] }],
  ["Host that is equal but for its case", get({}, [["host", "TEST"]]), { target: "/", host: ["test"] }],
  ["OPTIONS *", get({ ":method": "OPTIONS", ":path": "*" }), { target: "*", host: ["test"] }],
  ["bytes above 0x7F in :path", get({ ":path": "/\xff" }), { target: "/\xff", host: ["test"] }],
  ["a method of one's own", get({ ":method": "get" }), { method: "get", target: "/" }],
  ["TE: trailers", get({}, [["te", "trailers"]]), { te: ["trailers"] }],
  ["HTTP2-Settings, which is left out", get({}, [["http2-settings", "x"]]), { "http2-settings": [] }],
])("%s is taken", async (_, fields, seen) => {
  const { outcome, served } = await send(fields);
  await using disposed = served;
  expect(outcome).toBe("status 200");
  const { request } = disposed.requests[0]!.session;
  const shown = Object.keys(seen).map((name) => [
    name,
    name === "target" ? request.target : name === "method" ? request.method : request.getAll(name),
  ]);
  expect(Object.fromEntries(shown)).toEqual(seen);
});

test("an extended CONNECT is a handshake with one key, ours, however the client spells the protocol", async () => {
  const { served } = await send(extendedConnect("WebSocket", [["sec-websocket-key", "x"]]));
  await using disposed = served;
  const { session } = disposed.requests[0]!;
  expect([session.upgrade, session.request.getAll("upgrade")]).toEqual(["websocket", ["websocket"]]);
  expect(session.request.getAll("sec-websocket-key")).toEqual([expect.stringMatching(/^[A-Za-z0-9+/]{22}==$/)]);
});
