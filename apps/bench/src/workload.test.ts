import { expect, test } from "vitest";
import { HTTP1, type Wire } from "./wire.ts";
import { chunksOf, isOfConnection, unsuitable, type Workload } from "./workload.ts";

test("a body is cut into chunks of 16 KB and a rest", () => {
  const body = Buffer.alloc(40_000, "abc");
  const chunks = [...chunksOf(body)];
  expect(chunks.map(({ length }) => length)).toEqual([16_384, 16_384, 7232]);
  expect(Buffer.concat(chunks).equals(body)).toBe(true);
});

test("an empty body has no chunk: an empty one would end it", () => {
  expect([...chunksOf(Buffer.alloc(0))]).toEqual([]);
});

const GET = { method: "GET", path: "/", fields: [] } as const;
const PLAIN: Workload = {
  name: "plain",
  timed: { request: GET, answer: { fields: [], content: Buffer.alloc(1) } },
  checks: [],
  files: [],
  locations: "",
};

test("handshakes are for TLS and uploads for HTTP/1; a plain GET is for all", () => {
  const tls: Wire = { ...HTTP1, tls: true };
  const h2: Wire = { ...HTTP1, client: "h2" };
  for (const wire of [HTTP1, tls, h2]) expect(unsuitable(PLAIN, wire)).toBeUndefined();

  const handshake: Workload = { ...PLAIN, handshake: "full" };
  expect(unsuitable(handshake, tls)).toBeUndefined();
  for (const wire of [HTTP1, h2, { ...h2, tls: true }])
    expect(unsuitable(handshake, wire)).toContain("is for HTTP/1 by TLS");

  const upload: Workload = { ...PLAIN, timed: { ...PLAIN.timed, request: { ...GET, chunkedBody: Buffer.alloc(1) } } };
  expect(unsuitable(upload, tls)).toBeUndefined();
  expect(unsuitable(upload, h2)).toContain("is for HTTP/1");
});

test("HTTP/2 has no fields of the connection", () => {
  expect(["Connection", "HOST", "Cookie"].filter(isOfConnection)).toEqual(["Connection", "HOST"]);
});
