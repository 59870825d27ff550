// What HTTP/2's compression of heads costs: `node packages/core/bench/hpack.bench.ts`. Prints nanoseconds per head or text.
import { deepStrictEqual, strictEqual } from "node:assert";
import { HpackDecoder, type FieldReceiver } from "../src/http2/hpack/decoder.ts";
import { HpackEncoder } from "../src/http2/hpack/encoder.ts";
import { huffmanDecode, maxDecodedBytes } from "../src/http2/hpack/huffman-decode.ts";
import { huffmanBytes, huffmanEncode } from "../src/http2/hpack/huffman-encode.ts";
import { REQUESTS, RESPONSES } from "./header-sets.ts";
import { nanosecondsEach, printLine } from "./median.ts";

const ROUNDS = 200_000;
type Fields = [name: string, value: string][];

const H2LOAD: Fields = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "127.0.0.1:8080"],
  [":path", "/1k"],
  ["user-agent", "h2load nghttp2/1.52.0"],
];

const USER_AGENT = /User-Agent: (.*)\r\n/.exec(REQUESTS[1]![1])![1]!;

const target = Buffer.alloc(16_384);

class Count implements FieldReceiver {
  fields = 0;
  bytes = 0;
  field(name: string, value: string): void {
    this.fields++;
    this.bytes += name.length + value.length;
  }
}

measure("h2load", H2LOAD);
for (const [name, head] of REQUESTS) measure(`request, ${name}`, [...pseudo(head), ...fields(head)]);
for (const [name, head] of RESPONSES) measure(`response, ${name}`, [[":status", "200"], ...fields(head)]);
measureVarying();
measureLiterals();
for (const text of ["1234", "/api/items?page=2&sort=price", 'W/"400-5f3c1b2a9d8e7"', USER_AGENT]) {
  measureText(text);
}

function measure(what: string, list: Fields): void {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const first = encode(encoder, list);
  decoder.decode(target, 0, first, new Count());
  const names = list.map(([, value]) => value);
  for (let i = 0; i < 3; i++) decoder.decode(target, 0, encode(encoder, list), new Count());
  const bytes = encode(encoder, list);
  const seen: string[] = [];
  decoder.decode(target, 0, bytes, { field: (_, value) => seen.push(value) });
  deepStrictEqual(seen, names);
  const count = new Count();
  printLine(
    `decode ${what}, ${list.length} fields, ${bytes} bytes`,
    nanosecondsEach(ROUNDS, () => decoder.decode(target, 0, bytes, count)),
    "head",
  );
  printLine(
    `encode`,
    nanosecondsEach(ROUNDS, () => encode(encoder, list)),
    "head",
  );
  strictEqual(encode(encoder, list), bytes);
}

/** A response whose length, tag and request id are new each time. */
function measureVarying(): void {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const count = new Count();
  let n = 0;
  const head = (): Fields => {
    n++;
    return [
      [":status", "200"],
      ["server", "nginx/1.28.0"],
      ["date", "Sun, 06 Nov 1994 08:49:37 GMT"],
      ["content-type", "application/json; charset=utf-8"],
      ["content-length", String(1000 + (n % 7919))],
      ["etag", `W/"${n.toString(16)}-5f3c1b2a9d8e7"`],
      ["x-request-id", `3b1f0c9e-7a5d-4b6c-9d2e-${(n * 65537).toString(16)}`],
    ];
  };
  const lists = Array.from({ length: 1000 }, head);
  let i = 0;
  printLine(
    "encode 7 fields, three of them new each time",
    nanosecondsEach(ROUNDS, () => encode(encoder, lists[i++ % 1000]!)),
    "head",
  );
  const blocks: Buffer[] = [];
  for (const list of lists) blocks.push(Buffer.from(target.subarray(0, encode(encoder, list))));
  const other = new HpackEncoder();
  for (const [at, list] of lists.entries()) blocks[at] = Buffer.from(target.subarray(0, encode(other, list)));
  for (const block of blocks) decoder.decode(block, 0, block.length, count);
  i = 500;
  printLine(
    "decode the same",
    nanosecondsEach(ROUNDS, () => {
      const block = blocks[(i++ % 500) + 500]!;
      decoder.decode(block, 0, block.length, count);
    }),
    "head",
  );
}

/** A response as nginx sends it: every field a literal with a name of the static table, none indexed. */
function measureLiterals(): void {
  const values: [index: number, value: string][] = [
    [54, "nginx/1.22.1"],
    [33, "Sun, 06 Nov 1994 08:49:37 GMT"],
    [31, "application/octet-stream"],
    [28, "1024"],
    [44, "Fri, 27 Nov 2026 15:33:40 GMT"],
    [34, '"6a0b1c2d-400"'],
    [18, "bytes"],
  ];
  let at = 0;
  target[at++] = 0x88;
  for (const [index, value] of values) {
    if (index < 15) target[at++] = index;
    else {
      target[at++] = 15;
      target[at++] = index - 15;
    }
    target[at++] = 0x80 | huffmanBytes(value);
    at = huffmanEncode(value, target, at);
  }
  const decoder = new HpackDecoder();
  const seen: string[] = [];
  for (let round = 0; round < 4; round++) {
    seen.length = 0;
    decoder.decode(target, 0, at, { field: (_, value) => seen.push(value) });
    deepStrictEqual(seen, ["200", ...values.map(([, value]) => value)]);
  }
  const count = new Count();
  const block = Buffer.from(target.subarray(0, at));
  const decode = (): void => decoder.decode(block, 0, block.length, count);
  printLine(`decode 8 fields as nginx sends them, ${at} bytes`, nanosecondsEach(ROUNDS, decode), "head");
}

function measureText(text: string): void {
  const coded = huffmanEncode(text, target, 0);
  strictEqual(coded, huffmanBytes(text));
  const out = Buffer.alloc(maxDecodedBytes(coded));
  strictEqual(huffmanDecode(target, 0, coded, out), text.length);
  strictEqual(out.toString("latin1", 0, text.length), text);
  const to = Buffer.alloc(16_384);
  printLine(
    `Huffman, ${text.length} characters, ${coded} bytes: encode`,
    nanosecondsEach(ROUNDS, () => huffmanEncode(text, to, huffmanBytes(text))),
    "text",
  );
  printLine(
    `decode`,
    nanosecondsEach(ROUNDS, () => huffmanDecode(target, 0, coded, out)),
    "text",
  );
}

function encode(encoder: HpackEncoder, list: Fields): number {
  let at = encoder.begin(target, 0);
  for (let i = 0; i < list.length; i++) at = encoder.field(target, at, list[i]![0], list[i]![1]);
  return at;
}

function pseudo(head: string): Fields {
  return [
    [":method", "GET"],
    [":scheme", "https"],
    [":authority", "shop.example.org"],
    [":path", head.split(" ")[1]!],
  ];
}

function fields(head: string): Fields {
  return head
    .split("\r\n")
    .slice(1)
    .filter((line) => line !== "" && !/^(?:host|connection|keep-alive):/i.test(line))
    .map((line) => {
      const colon = line.indexOf(": ");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)];
    });
}
