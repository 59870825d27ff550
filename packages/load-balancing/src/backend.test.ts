import { SocketAddress } from "@sluice/core";
import { expect, test } from "vitest";
import { Backend } from "./backend.ts";
import { staticDiscovery } from "./discovery.ts";

test.each(["127.0.0.1:80", "[::1]:80", "example.org:80", "unix:/run/app.sock"])("%s is an address", (text) => {
  const backend = Backend.from(text);
  expect([backend.address.text, backend.weight, backend.ext, String(backend)]).toEqual([text, 1, undefined, text]);
});

test("takes a weight, data of the user, and an address that is parsed already", () => {
  const ext = { zone: "a" };
  const backend = Backend.from({ address: SocketAddress.parse("127.0.0.1:80"), weight: 3, ext });
  expect(backend.weight).toBe(3);
  expect(backend.ext).toBe(ext);
  expect(Backend.from(backend)).toBe(backend);
  expect(Backend.from(backend.address).address).toBe(backend.address);
});

test.each([0, -1, 1.5, Number.NaN, Infinity])("a weight of %s is refused by name", (weight) => {
  expect(() => new Backend({ address: "127.0.0.1:80", weight })).toThrow(
    /^backend 127\.0\.0\.1:80: weight: expected a positive integer/,
  );
});

test.each(["127.0.0.1", "", "::1:80:", "127.0.0.1:99999"])("%j is no address", (text) => {
  expect(() => Backend.from(text)).toThrow(/invalid address/);
});

test("a static discovery gives its list, in order and without flags", async () => {
  const discovery = staticDiscovery(["127.0.0.2:80", { address: "127.0.0.1:80", weight: 2 }]);
  const { backends, enabled } = await discovery.discover(AbortSignal.abort());
  expect(backends.map((backend) => (backend as Backend).address.text)).toEqual(["127.0.0.2:80", "127.0.0.1:80"]);
  expect(enabled).toBeUndefined();
});

test("a list with one address twice is refused at once", () => {
  expect(() => staticDiscovery(["a:80", { address: "a:80", weight: 2 }])).toThrow(/a:80 is listed twice/);
});
