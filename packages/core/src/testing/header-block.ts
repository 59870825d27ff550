/** A header block without compression: literals without indexing, no Huffman code (RFC 7541, section 6.2.2). */
export function encodeHeaderBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) parts.push(Buffer.from([0]), encodeText(name), encodeText(value));
  return Buffer.concat(parts);
}

/** The status that a response's header block begins with; for a status that is in no table, its digits. */
export function statusOfBlock(block: Buffer): number {
  let at = 0;
  // A change of the table's size may come first (RFC 7541, section 6.3).
  while ((block[at]! & 0xe0) === 0x20) at++;
  const first = block[at]!;
  const indexed = STATIC_STATUS[(first & 0x7f) - 8];
  if ((first & 0x80) !== 0 && indexed !== undefined) return indexed;
  const length = block[at + 1]! & 0x7f;
  const text = block.subarray(at + 2, at + 2 + length);
  return Number((block[at + 1]! & 0x80) === 0 ? text.toString("latin1") : huffmanDigits(text));
}

/** RFC 7541, appendix A, from index 8 on. */
const STATIC_STATUS = [200, 204, 206, 304, 400, 404, 500];

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([encodeInteger(bytes.length, 7), bytes]);
}

/** RFC 7541, section 5.1, with no other bits in the first byte. */
function encodeInteger(value: number, prefixBits: number): Buffer {
  const most = 2 ** prefixBits - 1;
  if (value < most) return Buffer.from([value]);
  const bytes = [most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Three digits in the Huffman code (RFC 7541, appendix B): 0 to 2 have five bits, 3 to 9 six. */
function huffmanDigits(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  let text = "";
  for (let at = 0; text.length < 3;) {
    const short = Number.parseInt(bits.slice(at, at + 5), 2);
    if (short <= 2) {
      text += short;
      at += 5;
    } else {
      text += Number.parseInt(bits.slice(at, at + 6), 2) - 22;
      at += 6;
    }
  }
  return text;
}
