import { createServer, type ServerHttp2Stream } from "node:http2";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import * as fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { FRAME, FLAG, Http2FrameClient } from "../../testing/http2-frame-client.ts";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { HpackError } from "./hpack-error.ts";
import { huffmanDecode, maxDecodedBytes } from "./huffman-decode.ts";
import { huffmanBytes, huffmanEncode } from "./huffman-encode.ts";
import { STATIC_FIELDS } from "./static-table.ts";

type Fields = [name: string, value: string, never: boolean][];

const byte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
const anyText = fc.oneof(
  fc.string({ unit: byte, maxLength: 40 }),
  fc.constantFrom("", "a", "0", "v".repeat(30), "v".repeat(127), "w".repeat(128), "\xff".repeat(200), "x".repeat(5000)),
);
const fewTexts = fc.constantFrom("a", "b", "c", "text/html", "gzip, deflate");
const field: fc.Arbitrary<[string, string, boolean]> = fc.tuple(
  fc.oneof(anyText, fewTexts, fc.constantFrom(...STATIC_FIELDS.map(([name]) => name))),
  fc.oneof(anyText, fewTexts, fc.constantFrom(...STATIC_FIELDS.map(([, value]) => value))),
  fc.boolean(),
);
const tableBytes = fc.oneof(fc.constantFrom(0, 31, 32, 64, 100, 4096, 65_536), fc.nat(5000));
const step = fc.record({ peerTableBytes: fc.option(tableBytes), fields: fc.array(field, { maxLength: 12 }) });

function encode(encoder: HpackEncoder, fields: Fields): Buffer {
  let room = HpackEncoder.BEGIN_BYTES;
  for (const [name, value] of fields) room += HpackEncoder.maxBytes(name, value);
  const target = Buffer.alloc(room);
  let at = encoder.begin(target, 0);
  for (const [name, value, never] of fields) at = encoder.field(target, at, name, value, never);
  expect(at).toBeLessThanOrEqual(room);
  return target.subarray(0, at);
}

function decode(decoder: HpackDecoder, block: Buffer): Fields {
  const seen: Fields = [];
  decoder.decode(block, 0, block.length, { field: (name, value, never) => seen.push([name, value, never]) });
  return seen;
}

test("any fields, with tables of any size that change at any time, read as they were written", () => {
  fc.assert(
    fc.property(tableBytes, fc.array(step, { maxLength: 20 }), (own, steps) => {
      const encoder = new HpackEncoder(own);
      const decoder = new HpackDecoder(65_536);
      for (const { peerTableBytes, fields } of steps) {
        if (peerTableBytes !== null) encoder.setPeerTableBytes(peerTableBytes);
        const seen = decode(decoder, encode(encoder, fields));
        // Secrets become never indexed.
        expect(seen.map(([name, value]) => [name, value])).toEqual(fields.map(([name, value]) => [name, value]));
        expect(fields.every(([, , never], at) => !never || seen[at]![2])).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});

test("any text reads as it was coded, in as many bytes as said", () => {
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code));
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: byte, maxLength: 60 }), fc.constant(all)), (text) => {
      const coded = Buffer.alloc(text.length * 4 + 1);
      const length = huffmanEncode(text, coded, 0);
      expect(length).toBe(huffmanBytes(text));
      const target = Buffer.alloc(maxDecodedBytes(length));
      expect(target.toString("latin1", 0, huffmanDecode(coded, 0, length, target))).toBe(text);
    }),
    { numRuns: 2000 },
  );
});

test("random bytes: fields or an HpackError, and no more characters than the bytes can stand for", () => {
  const blocks = fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(blocks, (all) => {
      const decoder = new HpackDecoder();
      for (const bytes of all) {
        try {
          for (const [name, value] of decode(decoder, Buffer.from(bytes))) {
            expect(name.length + value.length).toBeLessThanOrEqual(4096);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(HpackError);
          return;
        }
      }
    }),
    { numRuns: 5000 },
  );
});

test.for([
  [4096, 4096],
  [0, 0],
  [100, 300],
  [65_536, 10_000],
] as const)("nghttp2 reads what we write and we what it writes: tables of %i and %i bytes", async ([ours, its]) => {
  for (const [sent, back] of await echo(ours, its)) expect(back).toEqual(sent);
});

type Pairs = (readonly [name: string, value: string])[];

/** Sends heads to a server of Node, which sends them back: all that were sent, and what came for each. */
async function echo(ourTableBytes: number, itsTableBytes: number): Promise<[sent: Pairs, back: Pairs][]> {
  const server = createServer({ settings: { headerTableSize: itsTableBytes }, maxHeaderListPairs: 500 });
  onTestFinished(() => void server.close());
  server.on("stream", (stream: ServerHttp2Stream, _headers: object, _flags: number, raw: string[]) => {
    const back = [":status", "200"];
    for (let at = 0; at < raw.length; at += 2) if (!raw[at]!.startsWith(":")) back.push(raw[at]!, raw[at + 1]!);
    stream.respond(back, { endStream: true });
    // The size of our table changes in the middle.
    if (stream.id === 41) stream.session!.settings({ headerTableSize: itsTableBytes >> 1 });
    if (stream.id === 61) stream.session!.settings({ headerTableSize: itsTableBytes });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  await using client = await Http2FrameClient.connect(`127.0.0.1:${(server.address() as AddressInfo).port}`, {
    settings: [[1, ourTableBytes]],
  });
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder(ourTableBytes);
  await client.next(FRAME.SETTINGS, 0, ({ flags }) => flags === FLAG.ACK);
  decoder.settingsAcknowledged();
  const heard: [Pairs, Pairs][] = [];
  let settings = 0;
  let streamId = 1;
  for (const fields of fc.sample(heads, { numRuns: 150, seed: 1 })) {
    const request: Fields = [
      [":method", "GET", false],
      [":scheme", "http", false],
      [":authority", "a.test", false],
      [":path", `/${streamId % 7}`, false],
      ...fields,
    ];
    for (const { payload } of client.frames
      .filter(({ type, flags }) => type === FRAME.SETTINGS && flags === 0)
      .slice(settings)) {
      settings++;
      for (let at = 0; at < payload.length; at += 6) {
        if (payload.readUInt16BE(at) === 1) encoder.setPeerTableBytes(payload.readUInt32BE(at + 2));
      }
    }
    client.send(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, streamId, encode(encoder, request));
    const answer = await client.next(FRAME.HEADERS, streamId);
    const seen = decode(decoder, answer.payload);
    const back = seen.map(([name, value]) => [name, value] as const);
    const sent = fields.map(([name, value]) => [name, value] as const);
    // Node adds the date.
    heard.push([[[":status", "200"], ...sent], back.filter(([name]) => name !== "date")]);
    streamId += 2;
  }
  return heard;
}

const PRINTABLE = "abcXYZ0123456789 %&/()=?~\xc3\xa4\xff".split("");

/** Fields as Node lets them pass: no field of one connection, none that comes once only. */
const heads = fc.array(
  fc.tuple(
    fc.constantFrom(
      "x-a",
      "x-b",
      "x-c",
      "x-1",
      "accept-language",
      "cache-control",
      "link",
      "x-long-name-of-a-field",
      "warning",
    ),
    fc
      .oneof(
        fewTexts,
        fc.string({ unit: fc.constantFrom(...PRINTABLE), maxLength: 60 }),
        fc.constantFrom("v".repeat(500), "&".repeat(200), "\xfc".repeat(100)),
      )
      .map((value) => value.trim()),
    fc.boolean(),
  ),
  { maxLength: 15 },
);
