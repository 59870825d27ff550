import { latin1 } from "../../net/latin1.ts";
import { INVALID, nameMark, valueMark } from "../field-mark.ts";
import { HpackError } from "./hpack-error.ts";
import { findText, markAt, MAX_KNOWN_BYTES, rememberText, textAt } from "./known-strings.ts";
import { huffmanDecode, maxDecodedBytes } from "./huffman-decode.ts";
import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD_BYTES, FIRST_DYNAMIC_INDEX, STATIC_FIELDS } from "./static-table.ts";

/** Is told each field of a header block, in order. */
export interface FieldReceiver {
  /**
   * Must not throw: the rest of the block would be missing from the table.
   * @param name As sent, one character a byte; not checked, but see `mark`.
   * @param neverIndexed Whoever sends it on must send it as a literal that is never indexed (RFC 7541, section 7.1.3).
   * @param mark What is known of the field, `field-mark.ts` says how. Of a field of the table it was found out before.
   */
  field(name: string, value: string, neverIndexed: boolean, mark: number): void;
}

interface Entry {
  readonly name: string;
  readonly value: string;
  readonly mark: number;
}

/** How the first byte of such a literal begins (RFC 7541, section 6.2.3). */
const NEVER_INDEXED = 0x10;
/** Integers end within 28 bits behind their prefix; what is larger means nothing, as an index, a length or a size. */
const MAX_SHIFT = 21;
/** Strings are decoded here; larger ones get memory of their own. */
const scratch = Buffer.allocUnsafeSlow(8192);

const STATIC: readonly Entry[] = [["", ""] as const, ...STATIC_FIELDS].map(([name, value]) => {
  return { name, value, mark: nameMark(name) };
});

/**
 * Decodes the header blocks of one direction of a connection, in order (RFC 7541). An indexed field gives the same strings each
 * time, and costs no memory.
 */
export class HpackDecoder {
  /** The table may be as large as this. */
  #limitBytes: number;
  /** As large as the encoder has said. */
  #maxBytes = DEFAULT_TABLE_BYTES;
  readonly #ownLimitBytes: number;
  #tableBytes = 0;
  /** The entries; of a power of two of places `#newest` is that of the last one, and the others lie before it. */
  #ring: (Entry | undefined)[] = Array.from({ length: 16 });
  #newest = -1;
  #count = 0;
  /** Where the last integer or string ended. */
  #at = 0;
  /** What the last string says as a value. */
  #valueMark = 0;

  /**
   * @param maxTableBytes What our SETTINGS_HEADER_TABLE_SIZE says. Default 4096, that of HTTP/2. Below that, the encoder may use
   * 4096 until it has seen our SETTINGS: see {@link settingsAcknowledged}.
   */
  constructor(maxTableBytes: number = DEFAULT_TABLE_BYTES) {
    this.#ownLimitBytes = maxTableBytes;
    this.#limitBytes = Math.max(maxTableBytes, DEFAULT_TABLE_BYTES);
  }

  /** The encoder has seen our SETTINGS: if its table is too large for them, it has to say so in its next block. */
  settingsAcknowledged(): void {
    this.#limitBytes = this.#ownLimitBytes;
  }

  /**
   * Decodes the header block from `start` to `end`, a whole one.
   * @throws HpackError, and nothing else; fields may have been told before.
   */
  decode(block: Buffer, start: number, end: number, receiver: FieldReceiver): void {
    this.#at = start;
    this.#sizeUpdates(block, end);
    while (this.#at < end) {
      const byte = block[this.#at]!;
      if (byte >= 0x80) {
        const { name, value, mark } = this.#entry(this.#integer(block, end, 0x7f));
        receiver.field(name, value, false, mark);
      } else if (byte >= 0x40) this.#literal(block, end, 0x3f, receiver, byte);
      else if (byte < 0x20) this.#literal(block, end, 0x0f, receiver, byte);
      else throw new HpackError("a change of the table's size behind a field");
    }
  }

  /** RFC 7541, section 4.2: they stand in front, and one that must come does. */
  #sizeUpdates(block: Buffer, end: number): void {
    while (this.#at < end && (block[this.#at]! & 0xe0) === 0x20) {
      const bytes = this.#integer(block, end, 0x1f);
      if (bytes > this.#limitBytes) {
        throw new HpackError(`a table of ${bytes} bytes, where we allow ${this.#limitBytes}`);
      }
      this.#maxBytes = bytes;
      this.#evict(bytes);
    }
    if (this.#maxBytes > this.#limitBytes) {
      throw new HpackError(`a table that is still larger than the ${this.#limitBytes} bytes that we allow`);
    }
  }

  /** A literal (RFC 7541, section 6.2): indexed, not indexed, or never indexed. */
  #literal(block: Buffer, end: number, prefix: number, receiver: FieldReceiver, byte: number): void {
    const index = this.#integer(block, end, prefix);
    let name: string;
    let mark: number;
    if (index === 0) {
      name = this.#string(block, end, false);
      mark = nameMark(name);
    } else {
      ({ name, mark } = this.#entry(index));
      // It may be its value that is not valid.
      if ((mark & INVALID) !== 0) mark = nameMark(name);
    }
    const neverIndexed = (byte & 0xf0) === NEVER_INDEXED;
    const value = this.#string(block, end, neverIndexed || isSecret(name));
    mark |= this.#valueMark;
    if (byte >= 0x40) this.#add({ name, value, mark });
    receiver.field(name, value, neverIndexed, mark);
  }

  /** RFC 7541, section 5.1. */
  #integer(block: Buffer, end: number, prefix: number): number {
    let value = block[this.#at++]! & prefix;
    if (value < prefix) return value;
    for (let shift = 0; shift <= MAX_SHIFT; shift += 7) {
      if (this.#at >= end) throw cutOff();
      const byte = block[this.#at++]!;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new HpackError("an integer that is too large");
  }

  /** RFC 7541, section 5.2. @param secret Nobody is to learn from the time it takes whether it came before. */
  #string(block: Buffer, end: number, secret: boolean): string {
    if (this.#at >= end) throw cutOff();
    const coded = block[this.#at]! >= 0x80;
    const length = this.#integer(block, end, 0x7f);
    const from = this.#at;
    if (length > end - from) throw cutOff();
    const to = from + length;
    this.#at = to;
    this.#valueMark = 0;
    if (length === 0) return "";
    if (secret || length > MAX_KNOWN_BYTES) return this.#text(block, from, to, coded);
    const place = findText(block, from, to, coded);
    if (place >= 0) {
      this.#valueMark = markAt(place);
      return textAt(place);
    }
    const text = this.#text(block, from, to, coded);
    rememberText(block, from, to, text, this.#valueMark);
    return text;
  }

  #text(block: Buffer, from: number, end: number, coded: boolean): string {
    if (!coded) {
      this.#valueMark = valueMark(block, from, end);
      return latin1(block, from, end);
    }
    const room = maxDecodedBytes(end - from);
    const target = room > scratch.length ? Buffer.allocUnsafeSlow(room) : scratch;
    const decoded = huffmanDecode(block, from, end, target);
    this.#valueMark = valueMark(target, 0, decoded);
    return latin1(target, 0, decoded);
  }

  /** RFC 7541, section 2.3.3. */
  #entry(index: number): Entry {
    if (index < FIRST_DYNAMIC_INDEX) {
      if (index === 0) throw new HpackError("index 0");
      return STATIC[index]!;
    }
    const age = index - FIRST_DYNAMIC_INDEX;
    if (age >= this.#count) throw new HpackError(`index ${index} beyond the table`);
    return this.#ring[(this.#newest - age) & (this.#ring.length - 1)]!;
  }

  /** RFC 7541, section 4.4: what does not fit empties the table. */
  #add(entry: Entry): void {
    const bytes = entryBytes(entry);
    if (bytes > this.#maxBytes) {
      this.#evict(0);
      return;
    }
    this.#evict(this.#maxBytes - bytes);
    if (this.#count === this.#ring.length) this.#grow();
    this.#newest = (this.#newest + 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = entry;
    this.#count++;
    this.#tableBytes += bytes;
  }

  /** Until the table has no more than that. */
  #evict(maxBytes: number): void {
    while (this.#tableBytes > maxBytes) {
      const oldest = (this.#newest - --this.#count) & (this.#ring.length - 1);
      this.#tableBytes -= entryBytes(this.#ring[oldest]!);
      this.#ring[oldest] = undefined;
    }
  }

  #grow(): void {
    const { length } = this.#ring;
    const ring: (Entry | undefined)[] = Array.from({ length: length * 2 });
    for (let age = 0; age < length; age++) ring[length - 1 - age] = this.#ring[(this.#newest - age) & (length - 1)];
    this.#ring = ring;
    this.#newest = length - 1;
  }
}

/** Whether its values are nobody else's business. */
function isSecret(name: string): boolean {
  switch (name.length) {
    case 6:
      return name === "cookie";
    case 10:
      return name === "set-cookie";
    case 13:
      return name === "authorization";
    case 19:
      return name === "proxy-authorization";
    default:
      return false;
  }
}

function entryBytes({ name, value }: Entry): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}

function cutOff(): HpackError {
  return new HpackError("a header block that is cut off");
}
