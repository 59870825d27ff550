import { describe, expect, test } from "vitest";
import { SocketAddress } from "../net/socket-address.ts";
import type { ConnectStream } from "./connect-stream.ts";
import { HttpPeer, type PeerOptions } from "./http-peer.ts";

const ADDRESS = "127.0.0.1:80";

test("is made of a text, an address, or anything that has one", () => {
  const address = SocketAddress.parse(ADDRESS);
  for (const given of [ADDRESS, address, { address }]) expect(new HttpPeer(given).address.text).toBe(ADDRESS);
});

test("nothing to connect to is NoPeer", () => {
  for (const given of [undefined, {}, 5] as never[]) {
    expect(() => new HttpPeer(given)).toThrow(expect.objectContaining({ type: "NoPeer" }));
  }
});

test("an address that cannot be read is an error", () => {
  expect(() => new HttpPeer("nonsense")).toThrow(expect.objectContaining({ type: "ConnectError" }));
});

test("has bounded waits by default", () => {
  const { connectMs, readMs, writeMs, idleMs, tls, sni, bindTo } = new HttpPeer(ADDRESS);
  expect({ connectMs, readMs, writeMs, idleMs, tls, sni, bindTo }).toEqual({
    connectMs: 5000,
    readMs: 60_000,
    writeMs: 60_000,
    idleMs: 60_000,
    tls: false,
    sni: undefined,
    bindTo: undefined,
  });
});

test.for(["connectMs", "readMs", "writeMs", "idleMs"] as const)("%s must be at least 0", (name) => {
  expect(new HttpPeer(ADDRESS, { [name]: 0 })[name]).toBe(0);
  for (const ms of [-1, Number.NaN]) expect(() => new HttpPeer(ADDRESS, { [name]: ms })).toThrow(name);
});

test("the name for TLS is the host of the address unless given; without TLS there is none", () => {
  expect(new HttpPeer("a.test:443", { tls: true }).sni).toBe("a.test");
  expect(new HttpPeer("10.0.0.1:443", { tls: true, sni: "a.test" }).sni).toBe("a.test");
  expect(new HttpPeer("a.test:443", { sni: "b.test" }).sni).toBeUndefined();
});

test("connectStream must be a function, and goes without bindTo", () => {
  const connectStream: ConnectStream = () => Promise.reject(new Error("never called"));
  expect(new HttpPeer(ADDRESS, { connectStream }).connectStream).toBe(connectStream);
  expect(() => new HttpPeer(ADDRESS, { connectStream: "socks" as never })).toThrow(
    'HttpPeer: connectStream: expected a function, got "socks"',
  );
  expect(() => new HttpPeer(ADDRESS, { connectStream, bindTo: "127.0.0.1" })).toThrow(/bindTo.*connectStream/);
});

test.each<[options: unknown, message: string]>([
  [{ tls: "yes" }, 'HttpPeer: tls: expected true or false, got "yes"'],
  [{ tls: { sni: "a.test" } }, "HttpPeer: tls: expected true or false, got an object"],
  [{ tunnel: 1 }, "HttpPeer: tunnel: expected true or false, got 1"],
  [{ sni: 5 }, "HttpPeer: sni: expected a string, got 5"],
  [{ group: 5 }, "HttpPeer: group: expected a string, got 5"],
  [{ bindTo: "eth0" }, 'HttpPeer: bindTo: expected an IP address of this machine, got "eth0"'],
  [{ readMs: "100" }, 'HttpPeer: readMs: expected milliseconds of at least 0, got "100"'],
  [{ minHttpVersion: "2" }, 'HttpPeer: minHttpVersion: expected 1 or 2, got "2"'],
  // As in Pingora: `HttpPeer::new(address, tls, sni)`.
  [true, "HttpPeer: expected an object of options, got true"],
])("options that cannot be: %j", (options, message) => {
  expect(() => new HttpPeer(ADDRESS, options as never)).toThrow(message);
});

test("shows itself for logs", () => {
  expect(String(new HttpPeer(ADDRESS))).toBe(ADDRESS);
  expect(String(new HttpPeer("10.0.0.1:443", { tls: true, sni: "a.test" }))).toBe("https://10.0.0.1:443 (a.test)");
  expect(String(new HttpPeer("unix:/a", { tls: true }))).toBe("https://unix:/a (no name)");
});

describe("reuseKey", () => {
  const DIFFERENT: PeerOptions[] = [
    {},
    { tls: true },
    { tls: true, sni: "a.test" },
    { tls: true, sni: "b.test" },
    { bindTo: "127.0.0.1" },
    { bindTo: "127.0.0.2" },
    { group: "a" },
    { group: "127.0.0.1" },
    { bindTo: "127.0.0.1", group: "127.0.0.1" },
    { tls: true, group: "a" },
  ];

  test("differs for all that an origin could tell apart", () => {
    const keys = ["127.0.0.1:80", "127.0.0.1:81", "[::1]:80", "unix:/a"].flatMap((address) =>
      DIFFERENT.map((options) => new HttpPeer(address, options).reuseKey),
    );
    expect(new Set(keys).size).toBe(keys.length);
  });

  test("is the same for peers made alike", () => {
    for (const options of DIFFERENT) {
      expect(new HttpPeer(ADDRESS, { ...options }).reuseKey).toBe(new HttpPeer(ADDRESS, options).reuseKey);
    }
  });

  test("does not depend on times, nor on a name that is not used", () => {
    const plain = new HttpPeer(ADDRESS).reuseKey;
    expect(new HttpPeer(ADDRESS, { connectMs: 1, readMs: 2, writeMs: 3, idleMs: 4 }).reuseKey).toBe(plain);
    expect(new HttpPeer(ADDRESS, { sni: "a.test" }).reuseKey).toBe(plain);
    expect(new HttpPeer(ADDRESS, { tls: false }).reuseKey).toBe(plain);
    expect(new HttpPeer("127.0.0.1:080").reuseKey).toBe(plain);
  });

  test("tells functions that connect apart by their identity, beside all else", () => {
    const made: ConnectStream[] = [1, 2].map((n) => () => Promise.reject(new Error(`${n}`)));
    const keys = [{}, ...made.map((connectStream) => ({ connectStream }))].flatMap((options) =>
      [ADDRESS, "127.0.0.1:81"].flatMap((address) => [
        new HttpPeer(address, options).reuseKey,
        new HttpPeer(address, { ...options, group: "a" }).reuseKey,
        new HttpPeer(address, { ...options, tls: true }).reuseKey,
      ]),
    );
    expect(new Set(keys).size).toBe(keys.length);
    const [connectStream] = made as [ConnectStream];
    expect(new HttpPeer(ADDRESS, { connectStream }).reuseKey).toBe(new HttpPeer(ADDRESS, { connectStream }).reuseKey);
  });

  test("an empty group is no group", () => {
    expect(new HttpPeer(ADDRESS, { group: "" }).reuseKey).toBe(new HttpPeer(ADDRESS).reuseKey);
  });
});

test.each([
  ["http1", {}],
  ["http1", { maxHttpVersion: 2 }],
  ["http2", { minHttpVersion: 2 }],
  ["http1", { minHttpVersion: 2, tunnel: true }],
  ["alpn", { maxHttpVersion: 2, tls: true }],
  ["http2", { minHttpVersion: 2, maxHttpVersion: 2, tls: true }],
  ["http1", { maxHttpVersion: 1, tls: true }],
] as const)("speaks %s with %j", (protocol, options) => {
  expect(new HttpPeer("127.0.0.1:80", options).protocol).toBe(protocol);
});

test("peers that may speak other protocols, or share by other limits, share no connections", () => {
  const key = (options: PeerOptions): string => new HttpPeer("127.0.0.1:80", options).reuseKey;
  const keys = [
    {},
    { minHttpVersion: 2 },
    { minHttpVersion: 2, maxH2Streams: 5 },
    { tls: true },
    { tls: true, maxHttpVersion: 2 },
    { tls: true, minHttpVersion: 2 },
  ] as PeerOptions[];
  expect(new Set(keys.map(key)).size).toBe(keys.length);
  expect(key({ maxHttpVersion: 2 })).toBe(key({}));
  expect(key({ minHttpVersion: 2, h2PingIntervalMs: 5, maxRequests: 3, h2StreamWindowBytes: 70_000 })).toBe(
    key({ minHttpVersion: 2 }),
  );
});

test.each([
  [{ minHttpVersion: 3 }, "minHttpVersion: expected 1 or 2, got 3"],
  [{ minHttpVersion: 2, maxHttpVersion: 1 }, "minHttpVersion: expected at most maxHttpVersion"],
  [{ maxH2Streams: 0 }, "maxH2Streams: expected an integer of at least 1, got 0"],
  [{ maxRequests: 1.5 }, "maxRequests: expected an integer of at least 0, got 1.5"],
  [{ h2StreamWindowBytes: 0 }, "h2StreamWindowBytes: expected an integer from 65535"],
  [{ h2ConnectionWindowBytes: 2 ** 31 }, "h2ConnectionWindowBytes: expected an integer from 65535"],
  [{ h2PingIntervalMs: -1 }, "h2PingIntervalMs: expected milliseconds"],
])("%j is refused, by name", (options, message) => {
  expect(() => new HttpPeer("127.0.0.1:80", options as PeerOptions)).toThrow(message);
});
