import { expect, test } from "vitest";
import { HttpPeer, type PeerOptions } from "../upstreams/http-peer.ts";
import { acceptedNames } from "./accepted-names.ts";

test.each<[string, PeerOptions, readonly string[]]>([
  ["a.test:443", {}, ["a.test"]],
  ["127.0.0.1:443", {}, ["127.0.0.1"]],
  ["127.0.0.1:443", { sni: "a.test" }, ["a.test"]],
  ["127.0.0.1:443", { sni: "" }, ["127.0.0.1"]],
  ["127.0.0.1:443", { sni: "a.test", alternativeCn: "b.test" }, ["a.test", "b.test"]],
  ["127.0.0.1:443", { sni: "a.test", alternativeCn: "" }, ["a.test"]],
  ["unix:/a", {}, []],
  ["unix:/a", { alternativeCn: "b.test" }, ["b.test"]],
  // Pingora's cases.
  ["bb_b.some.com:443", {}, ["bb_b.some.com", "bb-b.some.com"]],
  ["_.some.com:443", {}, ["_.some.com", "-.some.com"]],
  ["d_g.com:443", {}, ["d_g.com"]],
  ["dog.d_t.com:443", {}, ["dog.d_t.com"]],
  ["dog.dot.c_m:443", {}, ["dog.dot.c_m"]],
  ["a.test:443", { alternativeCn: "x_y.b.test" }, ["a.test", "x_y.b.test", "x-y.b.test"]],
])("%s with %j accepts %j", (address, options, names) => {
  expect(acceptedNames(new HttpPeer(address, { tls: true, ...options }))).toEqual(names);
});
