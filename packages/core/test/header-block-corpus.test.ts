import { expect, test } from "vitest";
import { HpackDecoder } from "../src/http2/hpack/decoder.ts";
import { HpackEncoder } from "../src/http2/hpack/encoder.ts";
import { HpackError } from "../src/http2/hpack/hpack-error.ts";
import { readHeaderBlocks, type HeaderBlockCase } from "./header-blocks.ts";

type Seen = [name: string, value: string, neverIndexed: boolean][];

const cases = readHeaderBlocks();

test.for(cases.filter(({ fields }) => fields !== undefined))(
  "$rfc: $name",
  ({ blocks, fields, table, neverIndexed }) => {
    const decoder = new HpackDecoder();
    let seen: Seen = [];
    for (const block of blocks) seen = decode(decoder, block);
    expect(seen).toEqual(fields!.map((field) => [...field, neverIndexed === true]));
    expect(tableOf(decoder)).toEqual(table);
  },
);

test.for(cases.filter(({ refused }) => refused !== undefined))("$rfc: $name is refused", ({ blocks, refused }) => {
  const decoder = new HpackDecoder();
  for (const block of blocks.slice(0, -1)) decode(decoder, block);
  const error = thrown(() => decode(decoder, blocks.at(-1)!));
  expect(error).toBeInstanceOf(HpackError);
  expect((error as HpackError).message).toContain(refused);
});

test("a block that is cut off anywhere is refused, or has fewer fields", () => {
  for (const { blocks, fields } of cases.filter((one) => one.fields !== undefined && one.fields.length > 0)) {
    const whole = Buffer.from(blocks.at(-1)!, "hex");
    for (let length = 0; length < whole.length; length++) {
      const decoder = new HpackDecoder();
      for (const block of blocks.slice(0, -1)) decode(decoder, block);
      let count = 0;
      const error = thrown(() => decoder.decode(whole, 0, length, { field: () => count++ }));
      if (error !== undefined) expect(error).toBeInstanceOf(HpackError);
      expect(count).toBeLessThan(fields!.length);
    }
  }
});

test("requests are encoded as the RFC's examples have them", () => {
  const encoder = new HpackEncoder();
  const examples = cases.filter(({ rfc }) => rfc.startsWith("7541 C.4."));
  expect(examples.map(({ fields }) => encode(encoder, fields!))).toEqual(examples.map(({ blocks }) => blocks.at(-1)));
});

function decode(decoder: HpackDecoder, hex: string): Seen {
  const seen: Seen = [];
  const bytes = Buffer.from(`aa${hex}bb`, "hex");
  decoder.decode(bytes, 1, bytes.length - 1, {
    field: (name, value, neverIndexed) => seen.push([name, value, neverIndexed]),
  });
  return seen;
}

function tableOf(decoder: HpackDecoder): [name: string, value: string][] {
  const table: [string, string][] = [];
  for (let index = 62; ; index++) {
    try {
      decoder.decode(Buffer.from([0x80 | index]), 0, 1, { field: (name, value) => table.push([name, value]) });
    } catch {
      return table;
    }
  }
}

function encode(encoder: HpackEncoder, fields: NonNullable<HeaderBlockCase["fields"]>): string {
  const target = Buffer.alloc(1000);
  let at = encoder.begin(target, 1);
  for (const [name, value] of fields) at = encoder.field(target, at, name, value);
  return target.toString("hex", 1, at);
}

function thrown(action: () => void): unknown {
  try {
    action();
    return undefined;
  } catch (error) {
    return error;
  }
}
