import { RequestHeader, ResponseHeader } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { CompressionDictionary } from "./compression-dictionary.ts";
import { CompressionSettings, type CompressionOptions } from "./compression-settings.ts";
import { decideCompression, type CompressionDecision } from "./decide.ts";

const ALL: CompressionOptions = { level: 6, decompression: true };

interface Case {
  accept?: string;
  request?: Record<string, string>;
  method?: string;
  status?: number;
  end?: boolean;
  options?: CompressionOptions;
}

function decide(fields: Record<string, string>, given: Case = {}): CompressionDecision {
  const request = RequestHeader.build(given.method ?? "GET", "/", given.request);
  if (given.accept !== undefined) request.set("Accept-Encoding", given.accept);
  const response = ResponseHeader.build(given.status ?? 200, fields);
  return decideCompression(request, response, given.end ?? false, new CompressionSettings(given.options ?? ALL));
}

/** `gzip`, `de-gzip`, or the reason why nothing is done. */
function action(decision: CompressionDecision): string {
  if (decision.kind === "none") return decision.reason;
  return decision.kind === "compress" ? decision.algorithm : `de-${decision.algorithm}`;
}

const html = { "Content-Type": "text/html" };

describe("what is done", () => {
  test.each([
    // Nothing is known of the body.
    [{}, undefined, "notCompressible"],
    [{}, "gzip", "notCompressible"],
    // By type and length.
    [{ ...html, "Content-Length": "20" }, "gzip", "gzip"],
    [{ ...html, "Content-Length": "19" }, "gzip", "notCompressible"],
    [html, "gzip", "gzip"],
    [{ "Content-Type": "TEXT/HTML; charset=utf-8" }, "gzip", "gzip"],
    [{ "Content-Type": "application/json" }, "gzip", "gzip"],
    [{ "Content-Type": "image/svg+xml" }, "gzip", "gzip"],
    [{ "Content-Type": "image/vnd.microsoft.icon" }, "gzip", "gzip"],
    [{ "Content-Type": "binary/octet-stream" }, "gzip", "gzip"],
    [{ "Content-Type": "text/html+zip", "Content-Length": "20" }, "gzip", "notCompressible"],
    [{ "Content-Type": "application/gzip" }, "gzip", "notCompressible"],
    [{ "Content-Type": "font/woff2" }, "gzip", "notCompressible"],
    [{ "Content-Type": "application/grpc+proto" }, "gzip", "notCompressible"],
    [{ "Content-Type": "image/jpg" }, "gzip", "notCompressible"],
    [{ "Content-Type": "x-text/html" }, "gzip", "notCompressible"],
    // By what the client accepts.
    [html, undefined, "noneAccepted"],
    [html, "", "noneAccepted"],
    [html, "deflate", "noneAccepted"],
    [html, "gzip;q=0", "noneAccepted"],
    [html, "identity, gzip;q=0.5", "accepted"],
    [html, "br, gzip", "br"],
    [html, "br;q=0.1, gzip", "gzip"],
    [html, "zstd", "zstd"],
    [html, "*", "gzip"],
    [html, "dcb, br", "br"],
    // What comes coded.
    [{ ...html, "Content-Encoding": "gzip" }, "gzip", "accepted"],
    [{ ...html, "Content-Encoding": "GzIp" }, "gzip", "accepted"],
    [{ ...html, "Content-Encoding": "gzip" }, undefined, "de-gzip"],
    [{ ...html, "Content-Encoding": "x-gzip" }, undefined, "de-gzip"],
    [{ ...html, "Content-Encoding": "gzip" }, "br", "de-gzip"],
    [{ ...html, "Content-Encoding": "gzip" }, "gzip;q=0", "de-gzip"],
    [{ ...html, "Content-Encoding": "gzip" }, "br, gzip", "accepted"],
    [{ ...html, "Content-Encoding": "gzip" }, "*", "accepted"],
    [{ ...html, "Content-Encoding": "gzip" }, "dcb", "de-gzip"],
    [{ ...html, "Content-Encoding": "br" }, "dcb", "de-br"],
    [{ ...html, "Content-Encoding": "br" }, "dcz", "de-br"],
    [{ ...html, "Content-Encoding": "zstd" }, "dcz", "de-zstd"],
    [{ ...html, "Content-Encoding": "dcb" }, "dcb, br", "accepted"],
    [{ ...html, "Content-Encoding": "dcz" }, "dcz, zstd", "accepted"],
    [{ ...html, "Content-Encoding": "dcz" }, "zstd", "unknownCoding"],
    [{ ...html, "Content-Encoding": "deflate" }, "gzip", "unknownCoding"],
    [{ ...html, "Content-Encoding": "gzip, br" }, undefined, "unknownCoding"],
    [{ "Content-Type": "image/jpg", "Content-Encoding": "gzip" }, undefined, "de-gzip"],
    [{ ...html, "Content-Encoding": "gzip" }, "br, identity;q=0", "noneAccepted"],
    [{ ...html, "Content-Encoding": "" }, "gzip", "gzip"],
  ] as [Record<string, string>, string | undefined, string][])("%o for %s: %s", (fields, accept, expected) => {
    expect(action(decide(fields, accept === undefined ? {} : { accept }))).toBe(expected);
  });

  test.each([
    ["all off", html, "gzip", {}, "off"],
    ["level off", html, "gzip", { decompression: true }, "off"],
    ["decompression off", { "Content-Encoding": "br" }, "gzip", { level: 6 }, "off"],
    ["decompression of another coding", { "Content-Encoding": "br" }, "gzip", { decompression: { zstd: true } }, "off"],
    ["decompression of that coding", { "Content-Encoding": "br" }, "gzip", { decompression: { br: true } }, "de-br"],
    ["only another algorithm on", html, "gzip, br", { level: { zstd: 3 } }, "noneAccepted"],
    ["only the second choice on", html, "gzip, br", { level: { br: 3 } }, "br"],
  ] as [string, Record<string, string>, string, CompressionOptions, string][])(
    "%s",
    (_, fields, accept, options, expected) => {
      expect(action(decide(fields, { accept, options }))).toBe(expected);
    },
  );

  test.each([
    ["an interim head", { status: 103 }, {}, "interim"],
    ["another protocol", { status: 101 }, {}, "upgraded"],
    ["no body", { end: true }, {}, "noBody"],
    ["a HEAD request", { method: "HEAD" }, {}, "noBody"],
    ["204", { status: 204 }, {}, "noBody"],
    ["205", { status: 205 }, {}, "noBody"],
    ["304", { status: 304 }, {}, "noBody"],
    ["length 0", {}, { "Content-Length": "0" }, "noBody"],
    ["a part", { status: 206 }, { "Content-Range": "bytes 0-99/200" }, "partial"],
    ["several parts", { status: 206 }, {}, "partial"],
    ["Content-Range", {}, { "Content-Range": "bytes 0-99/200" }, "partial"],
    ["no-transform", {}, { "Cache-Control": "max-age=60, No-Transform" }, "noTransform"],
    ["no-transform of the request", { request: { "Cache-Control": "no-transform" } }, {}, "noTransform"],
    ["Content-Digest", {}, { "Content-Digest": "sha-256=:AA==:" }, "digest"],
    ["Repr-Digest", {}, { "Repr-Digest": "sha-256=:AA==:" }, "digest"],
    ["Content-MD5", {}, { "Content-MD5": "AA==" }, "digest"],
    ["an error page", { status: 500 }, {}, "gzip"],
    ["a name that only holds no-transform", {}, { "Cache-Control": "x-no-transform" }, "gzip"],
  ] as [string, Case, Record<string, string>, string][])("%s", (_, given, fields, expected) => {
    expect(action(decide({ ...html, ...fields }, { accept: "gzip", ...given }))).toBe(expected);
    const coded = action(decide({ ...html, "Content-Encoding": "br", ...fields }, { accept: "gzip", ...given }));
    expect(coded).toBe(expected === "gzip" ? "de-br" : expected);
  });
});

/** What the body would be coded as or decoded from, and what that depends on. */
function wouldBe(fields: Record<string, string>, given: Case): unknown {
  const decision = decide(fields, { end: true, ...given });
  return decision.kind === "none" && [decision.reason, decision.wouldBe, ...decision.varyBy];
}

const VARIES = "accept-encoding";

describe("what a head without a body says of that of a 200 to a GET", () => {
  test.each([
    ["304 without a type", {}, { accept: "gzip" }, ["gzip", VARIES]],
    ["304 of a text", html, { accept: "br" }, ["br", VARIES]],
    ["304 of an image", { "Content-Type": "image/png" }, { accept: "gzip" }, [undefined]],
    ["304 of what is too short", { "Content-Length": "19" }, { accept: "gzip" }, [undefined]],
    ["304 for a client that accepts nothing", {}, {}, [undefined, VARIES]],
    ["304 with the level off", {}, { accept: "gzip", options: { decompression: true } }, [undefined]],
    ["304 of what is never transformed", { "Cache-Control": "no-transform" }, { accept: "gzip" }, [undefined]],
    ["304 of what was coded", { "Content-Encoding": "gzip" }, { accept: "br" }, ["gzip", VARIES]],
  ] as [string, Record<string, string>, Case, unknown[]][])("%s", (_, fields, given, expected) => {
    expect(wouldBe(fields, { status: 304, ...given })).toEqual(["noBody", ...expected]);
  });

  test.each([
    ["of a text", html, { accept: "gzip" }, ["gzip", VARIES]],
    ["of no known type", {}, { accept: "gzip" }, [undefined]],
    ["for a client that accepts nothing", html, {}, [undefined, VARIES]],
    ["of what would be decompressed", { ...html, "Content-Encoding": "br" }, { accept: "gzip" }, ["br", VARIES]],
    ["answered by 204", html, { accept: "gzip", status: 204 }, [undefined]],
    ["of a part", { ...html, "Content-Range": "bytes 0-99/200" }, { accept: "gzip", status: 206 }, [undefined]],
    ["of nothing", { ...html, "Content-Length": "0" }, { accept: "gzip" }, [undefined]],
  ] as [string, Record<string, string>, Case, unknown[]][])("HEAD %s", (_, fields, given, expected) => {
    expect(wouldBe(fields, { method: "HEAD", ...given })).toEqual(["noBody", ...expected]);
  });
});

describe("what it depends on", () => {
  test.each([
    ["compressed", html, { accept: "gzip" }, ["accept-encoding"]],
    ["could have been compressed", html, {}, ["accept-encoding"]],
    ["not compressible", { "Content-Type": "text/html+zip" }, { accept: "gzip" }, []],
    ["not compressible, and coded", { "Content-Encoding": "gzip" }, { accept: "gzip" }, ["accept-encoding"]],
    ["coded, decompression off", { "Content-Encoding": "gzip" }, { options: { level: 6 } }, []],
    ["compressible, level off", html, { accept: "gzip", options: { decompression: true } }, []],
    ["refused by the request", html, { request: { "Cache-Control": "no-transform" } }, ["accept-encoding"]],
    ["never transformed", { ...html, "Cache-Control": "no-transform" }, { accept: "gzip" }, []],
    ["no body", html, { accept: "gzip", end: true }, []],
    ["off", html, { accept: "gzip", options: {} }, []],
  ] as [string, Record<string, string>, Case, string[]][])("%s", (_, fields, given, expected) => {
    expect(decide(fields, given).varyBy).toEqual(expected);
  });
});

describe("a dictionary", () => {
  const dictionary = new CompressionDictionary(Buffer.from("a dictionary"));
  const settings = (): CompressionSettings => new CompressionSettings(ALL).setDictionary(dictionary);
  const decideFor = (fields: Record<string, string>, with_: CompressionSettings): CompressionDecision =>
    decideCompression(
      RequestHeader.build("GET", "/", { "Accept-Encoding": "dcz, br, gzip", ...fields }),
      ResponseHeader.build(200, html),
      false,
      with_,
    );
  const has = { "Available-Dictionary": dictionary.name };

  test("is used for a client that has it", () => {
    const decision = decideFor(has, settings());
    expect(action(decision)).toBe("dcz");
    expect(decision.varyBy).toEqual(["accept-encoding", "available-dictionary"]);
  });

  test.each([
    ["none is set", has, new CompressionSettings(ALL)],
    ["the client has none", {}, settings()],
    ["the client has another", { "Available-Dictionary": `:${"A".repeat(43)}=:` }, settings()],
    ["its level is 0", has, settings().setLevel("dcz", 0)],
  ])("the next coding is used when %s", (_, fields, with_) => {
    const decision = decideFor(fields, with_);
    expect(action(decision)).toBe("br");
    expect(decision.varyBy).toEqual(["accept-encoding"]);
  });
});
