import { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import { brotliCompressSync, gunzipSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { HttpModuleContext } from "../modules/http-module-context.ts";
import type { HttpModule } from "../modules/http-module.ts";
import { HttpModules } from "../modules/http-modules.ts";
import { CompressionRun } from "./compression-run.ts";
import { CompressionSettings, type CompressionOptions } from "./compression-settings.ts";
import { ResponseCompression, responseCompression } from "./response-compression.ts";

afterEach(() => {
  vi.useRealTimers();
});

const LETTERS = Buffer.alloc(32, "B");

function requestFor(accept = "gzip"): RequestHeader {
  return RequestHeader.build("GET", "/", { Host: "example.org", "Accept-Encoding": accept });
}

function contextWith(options?: CompressionOptions, accept?: string): HttpModuleContext {
  return new HttpModules().add(responseCompression(options)).open(requestFor(accept));
}

function html(fields: Record<string, string> = {}): ResponseHeader {
  return ResponseHeader.build(200, { "Content-Type": "text/html", ...fields });
}

/** What goes down of a response: its body, and its trailers. */
async function send(
  context: HttpModuleContext,
  head: ResponseHeader,
  pieces: readonly Uint8Array[],
  trailers?: HeaderFields,
): Promise<{ body: Buffer; trailers: HeaderFields | undefined }> {
  await context.responseHeader(head, false);
  const sent: Uint8Array[] = [];
  for (const piece of pieces) sent.push(await context.responseBody(piece));
  const end = await context.responseEnd(trailers);
  if (end.body !== undefined) sent.push(end.body);
  return { body: Buffer.concat(sent), trailers: end.trailers };
}

describe("as a module", () => {
  test("compresses by the level of the service", async () => {
    const context = contextWith({ level: 6 });
    const head = html({ "Content-Length": "32" });
    const { body } = await send(context, head, [LETTERS]);
    expect(head.get("content-encoding")).toBe("gzip");
    expect(head.has("content-length")).toBe(false);
    expect(body.length).toBeLessThan(32);
    expect(gunzipSync(body).equals(LETTERS)).toBe(true);
    expect(context.get(ResponseCompression)!.info).toEqual({
      kind: "compress",
      algorithm: "gzip",
      bytesIn: 32,
      bytesOut: body.length,
      ms: expect.any(Number),
    });
  });

  test("costs nothing by default, and can be turned on until the head has come", async () => {
    const modules = new HttpModules().add(responseCompression());
    expect(modules.start(requestFor())).toBeUndefined();
    const context = modules.open(requestFor());
    context.get(ResponseCompression)!.setLevel("gzip", 1);
    const { body } = await send(context, html(), [LETTERS]);
    expect(gunzipSync(body).equals(LETTERS)).toBe(true);
    expect(() => context.get(ResponseCompression)!.setLevel(2)).toThrow("set too late");
  });

  test("says that it is too late when it is first asked for after the head", async () => {
    const late = new HttpModules().add(responseCompression()).open(requestFor(), true);
    expect(() => late.get(ResponseCompression)!.setLevel(6)).toThrow("set too late");
    expect(await late.responseBody(LETTERS)).toBe(LETTERS);
  });

  test("requests share no settings", () => {
    const modules = new HttpModules().add(responseCompression({ level: 6 }));
    modules.open(requestFor()).get(ResponseCompression)!.setLevel(0);
    expect(modules.open(requestFor()).get(ResponseCompression)!.level("br")).toBe(6);
  });

  test("a field that the request lost or got before the head counts", async () => {
    const context = contextWith({ level: 6 });
    context.request.set("Accept-Encoding", "br");
    const head = html();
    await context.responseHeader(head, false);
    expect(head.get("content-encoding")).toBe("br");
    expect(context.hasResponseBody).toBe(true);
    context.close();
  });

  test("wrong options are refused when the service is made", () => {
    expect(() => responseCompression({ level: 12 })).toThrow("expected an integer from 0 (off) to 9, got 12");
  });

  test("what other modules add at the end is compressed before the trailers go", async () => {
    class Signs implements HttpModule {
      responseDone(): Uint8Array {
        return Buffer.from(", signed");
      }
    }
    const modules = new HttpModules()
      .add(responseCompression({ level: 6 }))
      .add({ type: Signs, init: () => new Signs() });
    const trailers = HeaderFields.from({ sum: "1" });
    const sent = await send(modules.open(requestFor()), html(), [Buffer.from("text")], trailers);
    expect(gunzipSync(sent.body).toString()).toBe("text, signed");
    expect(sent.trailers).toBe(trailers);
  });
});

describe("what passes as it is", () => {
  test.each([
    ["off by default", undefined, html(), "off"],
    [
      "a type that is no text",
      { level: 6 },
      ResponseHeader.build(200, { "Content-Type": "image/png" }),
      "notCompressible",
    ],
    [
      "another protocol",
      { level: 6 },
      ResponseHeader.build(101, { Upgrade: "x", "Content-Type": "text/html" }),
      "upgraded",
    ],
  ])("%s", async (_, options, head, reason) => {
    const context = contextWith(options);
    const compression = context.get(ResponseCompression)!;
    const before = [...head];
    await context.responseHeader(head, false);
    expect([...head]).toEqual(before);
    expect(context.hasResponseBody).toBe(false);
    // No promise, no copy.
    expect(context.responseBody(LETTERS)).toBe(LETTERS);
    expect(context.responseEnd(undefined)).toEqual({ body: undefined, trailers: undefined });
    expect(compression.decision).toMatchObject({ kind: "none", reason });
    expect(compression.info).toBeUndefined();
  });

  test("interim heads, after which the final one decides", async () => {
    const context = contextWith({ level: 6 });
    const early = ResponseHeader.build(103, { Link: "</a>" });
    await context.responseHeader(early, false);
    expect([...early]).toEqual([["Link", "</a>"]]);
    const { body } = await send(context, html(), [LETTERS]);
    expect(gunzipSync(body).equals(LETTERS)).toBe(true);
  });
});

test.each([
  ["a 304", ResponseHeader.build(304, { ETag: '"1"' }), "GET", {}, 'W/"1"'],
  ["a 304, told to keep its ETag", ResponseHeader.build(304, { ETag: '"1"' }), "GET", { preserveEtag: true }, '"1"'],
  ["a HEAD", html({ ETag: '"1"', "Content-Length": "4000" }), "HEAD", {}, 'W/"1"'],
])("the head of %s says what the 200 to a GET does", async (_, head, method, options, etag) => {
  const request = requestFor();
  request.method = method;
  const context = new HttpModules().add(responseCompression({ level: 6, ...options })).open(request);
  await context.responseHeader(head, true);
  expect([head.get("etag"), head.get("vary"), head.get("content-length"), head.get("content-encoding")]).toEqual([
    etag,
    "accept-encoding",
    undefined,
    undefined,
  ]);
  expect(context.hasResponseBody).toBe(false);
});

describe("decompression", () => {
  test("for a client that does not accept the coding", async () => {
    const context = contextWith({ decompression: true });
    const head = html({ "Content-Encoding": "br", ETag: '"1"' });
    const { body } = await send(context, head, [brotliCompressSync(LETTERS)]);
    expect(body.equals(LETTERS)).toBe(true);
    expect([...head]).toEqual([
      ["Content-Type", "text/html"],
      ["ETag", 'W/"1"'],
      ["Vary", "accept-encoding"],
    ]);
    expect(context.get(ResponseCompression)!.info).toMatchObject({ kind: "decompress", algorithm: "br", bytesOut: 32 });
  });

  test("a body that was cut short never ends", async () => {
    const context = contextWith({ decompression: true }, "br");
    const head = html({ "Content-Encoding": "gzip" });
    await expect(send(context, head, [gzipSync(LETTERS).subarray(0, -4)])).rejects.toMatchObject({
      type: "InvalidContentCoding",
    });
  });

  test("the limits are those of the settings", async () => {
    const options = { decompression: true, maxDecompressedBytes: 31 };
    const head = html({ "Content-Encoding": "gzip" });
    await expect(send(contextWith(options, "br"), head, [gzipSync(LETTERS)])).rejects.toThrow("more than 31 bytes");
  });
});

test.each([
  ["compressed", { level: 6 }, html(), LETTERS],
  ["decompressed", { decompression: true }, html({ "Content-Encoding": "br" }), brotliCompressSync(LETTERS)],
])("the digest behind a body that was %s goes, other trailers stay", async (_, options, head, piece) => {
  const given = HeaderFields.from({ "Content-Digest": "sha-256=:AAAA:", "Grpc-Status": "0" });
  const { trailers } = await send(contextWith(options), head, [piece], given);
  expect([...trailers!]).toEqual([["Grpc-Status", "0"]]);
});

test("the digest behind a body that stays as it is stays with it", async () => {
  const given = HeaderFields.from({ "Content-Digest": "sha-256=:AAAA:" });
  const { trailers } = await send(contextWith({ level: 6 }, "identity"), html(), [LETTERS], given);
  expect([...trailers!]).toEqual([["Content-Digest", "sha-256=:AAAA:"]]);
});

describe("flushing", () => {
  test("an event goes out with its piece", async () => {
    const context = contextWith({ level: 6 });
    await context.responseHeader(ResponseHeader.build(200, { "Content-Type": "text/event-stream" }), false);
    const first = await context.responseBody(Buffer.from("data: 1\n\n"));
    expect(gunzipSync(first, { finishFlush: 2 }).toString()).toBe("data: 1\n\n");
    context.close();
  });

  test("what is held back is asked for flushAfterMs after its first byte, once, though more comes meanwhile", async () => {
    vi.useFakeTimers();
    const context = contextWith({ level: 6, flushAfterMs: 50 });
    let asked = 0;
    context.onFlushWanted = () => void asked++;
    await context.responseHeader(html(), false);
    const first = await context.responseBody(Buffer.from("tick "));
    vi.advanceTimersByTime(40);
    const second = await context.responseBody(Buffer.from("tock "));
    vi.advanceTimersByTime(9);
    expect(asked).toBe(0);
    vi.advanceTimersByTime(1);
    expect(asked).toBe(1);
    const flushed = (await context.flushResponse())!;
    const sent = Buffer.concat([first, second, flushed]);
    expect(gunzipSync(sent, { finishFlush: 2 }).toString()).toBe("tick tock ");
    vi.advanceTimersByTime(1000);
    expect(asked).toBe(1);
    // The first byte after a flush begins anew.
    await context.responseBody(Buffer.from("tick "));
    vi.advanceTimersByTime(49);
    expect(asked).toBe(1);
    vi.advanceTimersByTime(1);
    expect(asked).toBe(2);
    context.close();
  });

  test.each([
    ["0 asks for none", { level: 6, flushAfterMs: 0 }, html()],
    ["a decompressed body is never held back", { decompression: true }, html({ "Content-Encoding": "br" })],
  ])("%s", async (_, options, head) => {
    vi.useFakeTimers();
    const context = contextWith(options);
    await context.responseHeader(head, false);
    await context.responseBody(brotliCompressSync(LETTERS));
    expect(vi.getTimerCount()).toBe(0);
    context.close();
  });

  test("adds nothing when nothing is held back", async () => {
    const context = contextWith({ level: 6 });
    await context.responseHeader(html(), false);
    expect(context.flushResponse()).toBeUndefined();
    await context.responseBody(LETTERS);
    expect((await context.flushResponse())!.length).toBeGreaterThan(0);
    expect(context.flushResponse()).toBeUndefined();
    context.close();
  });

  test("no timer is left of a response that ended, or was given up", async () => {
    vi.useFakeTimers();
    const overs = [
      async (it: HttpModuleContext) => void (await it.responseEnd(undefined)),
      async (it: HttpModuleContext) => it.close(),
    ];
    for (const over of overs) {
      const context = contextWith({ level: 6 });
      await context.responseHeader(html(), false);
      await context.responseBody(LETTERS);
      expect(vi.getTimerCount()).toBe(1);
      await over(context);
      expect(vi.getTimerCount()).toBe(0);
    }
  });
});

test("a client that leaves while a piece is compressed: the work is given up", async () => {
  const context = contextWith({ level: { br: 11 } }, "br");
  await context.responseHeader(html(), false);
  const waiting = context.responseBody(Buffer.alloc(200_000, "abc"));
  context.close();
  await expect(waiting).rejects.toThrow("br: given up before its end");
});

describe("a run, by settings that serve several attempts", () => {
  const exchange = { request: requestFor(), wantFlush: () => undefined };

  test("each attempt is compressed from its own beginning", async () => {
    const settings = new CompressionSettings({ level: 6 });
    const failed = new CompressionRun(settings, exchange);
    failed.responseHeader(html(), false);
    await failed.responseBody(Buffer.from("lost with its connection"), false);
    failed.close();

    const second = new CompressionRun(settings, exchange);
    settings.setLevel("gzip", 9);
    second.responseHeader(html(), false);
    const first = await second.responseBody(LETTERS, false);
    const last = await second.responseBody(undefined, true);
    expect(gunzipSync(Buffer.concat([first!, last!])).equals(LETTERS)).toBe(true);
    expect(() => settings.setLevel(1)).toThrow("set too late");
    // What comes after the end adds nothing.
    expect(second.responseBody(undefined, true)).toBeUndefined();
    expect(second.responseFlush()).toBeUndefined();
    second.close();
    expect(second.info).toMatchObject({ bytesIn: 32 });
  });

  test("a final head that follows another one decides anew", async () => {
    const run = new CompressionRun(new CompressionSettings({ level: 6 }), exchange);
    run.responseHeader(html(), false);
    const head = ResponseHeader.build(502, { "Content-Type": "image/png" });
    run.responseHeader(head, false);
    expect(head.has("content-encoding")).toBe(false);
    expect(run.responseBody(LETTERS, false)).toBeUndefined();
    expect(run.info).toBeUndefined();
  });

  test("a last piece that comes with the end is not lost", async () => {
    const run = new CompressionRun(new CompressionSettings({ level: 6 }), exchange);
    run.responseHeader(html(), false);
    expect(gunzipSync((await run.responseBody(LETTERS, true))!).equals(LETTERS)).toBe(true);
  });
});
