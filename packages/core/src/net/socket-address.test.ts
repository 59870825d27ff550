import { expect, test } from "vitest";
import { SocketAddress } from "./socket-address.ts";

test.for([
  ["127.0.0.1:80", "127.0.0.1", 80],
  ["example.org:443", "example.org", 443],
  ["my_host-1:0", "my_host-1", 0],
  ["[::1]:65535", "::1", 65_535],
  ["[2001:db8::1]:8080", "2001:db8::1", 8080],
] as const)("%s", ([text, host, port]) => {
  const address = SocketAddress.parse(text);
  expect([address.host, address.port, address.path]).toEqual([host, port, undefined]);
  expect(address.text).toBe(text);
  expect(String(address)).toBe(text);
});

test("unix:/path", () => {
  const address = SocketAddress.parse("unix:/run/app.sock");
  expect([address.host, address.port, address.path]).toEqual([undefined, undefined, "/run/app.sock"]);
  expect(address.text).toBe("unix:/run/app.sock");
  expect(SocketAddress.unix("/run/app.sock").text).toBe(address.text);
});

test("of an IP address and a port", () => {
  expect(SocketAddress.ip("127.0.0.1", 80).text).toBe("127.0.0.1:80");
  expect(SocketAddress.ip("::1", 65_535)).toEqual(SocketAddress.parse("[::1]:65535"));
});

test.for([
  ["localhost", 80],
  ["", 80],
  ["[::1]", 80],
  ["127.0.0.1", -1],
  ["127.0.0.1", 65_536],
  ["127.0.0.1", 1.5],
  ["127.0.0.1", Number.NaN],
] as const)("refuses the IP address %j with port %d", ([host, port]) => {
  expect(() => SocketAddress.ip(host, port)).toThrow(/expected an IP address and a port up to 65535/);
});

test("a port with leading zeros has one canonical text", () => {
  expect(SocketAddress.parse("a:0080").text).toBe("a:80");
});

test.for([
  "",
  ":",
  ":80",
  "127.0.0.1",
  "127.0.0.1:",
  "127.0.0.1:65536",
  "127.0.0.1:-1",
  "127.0.0.1:8x",
  "127.0.0.1: 80",
  "127.0.0.1:1e3",
  "127.0.0.1:0x50",
  "::1:80",
  "[::1]",
  "[::1]80",
  "[::1:80",
  "[127.0.0.1]:80",
  "[]:80",
  "a b:80",
  "a/b:80",
  "http://a:80",
  "user@a:80",
  "ä:80",
  "a\n:80",
  "unix:",
  "unix:/a\0b",
])("refuses %j", (text) => {
  expect(() => SocketAddress.parse(text)).toThrow(
    expect.objectContaining({ type: "ConnectError", source: "internal" }),
  );
});

test("the refusal shows the text and what was expected", () => {
  expect(() => SocketAddress.parse("nonsense")).toThrow('"nonsense": expected host:port, [IPv6]:port or unix:/path');
});

test("more addresses than are remembered are still told apart", () => {
  for (let n = 0; n < 5000; n++) expect(SocketAddress.parse(`h${n}:80`).host).toBe(`h${n}`);
  expect(SocketAddress.parse("h1:80").host).toBe("h1");
});
