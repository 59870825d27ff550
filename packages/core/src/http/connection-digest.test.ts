import { expect, test } from "vitest";
import { streamPair } from "../testing/index.ts";
import { nameEnds, StreamDigest } from "./connection-digest.ts";

const ADDRESSES = { remoteAddress: "::1", remotePort: 50_000, localAddress: "127.0.0.1", localPort: 80 };

test("shows the addresses of the stream, IPv6 in brackets", () => {
  const { local } = streamPair({ addresses: ADDRESSES });
  const { remoteAddress, localAddress } = new StreamDigest(local);
  expect([remoteAddress, localAddress]).toEqual(["[::1]:50000", "127.0.0.1:80"]);
});

test("a stream without addresses has none", () => {
  const { remoteAddress, localAddress } = new StreamDigest(streamPair().local);
  expect([remoteAddress, localAddress]).toEqual([undefined, undefined]);
});

test("keeps an address that was read, since a closed socket has none", () => {
  const stream = { ...ADDRESSES } as { remoteAddress: string | undefined };
  const digest = new StreamDigest(stream as never);
  expect(digest.remoteAddress).toBe("[::1]:50000");
  stream.remoteAddress = undefined;
  expect(digest.remoteAddress).toBe("[::1]:50000");
});

test("a Unix socket has the names that it was given, also when it was given them later", () => {
  const { local } = streamPair();
  const digest = new StreamDigest(local);
  expect(digest.remoteAddress).toBeUndefined();
  nameEnds(local, { remote: "unix:/run/origin.sock" });
  expect([digest.remoteAddress, digest.localAddress]).toEqual(["unix:/run/origin.sock", undefined]);
  nameEnds(local, { local: "unix:/run/proxy.sock" });
  expect(digest.localAddress).toBe("unix:/run/proxy.sock");
});
