import { latin1 } from "../../net/latin1.ts";
import { huffmanBytes, huffmanEncode } from "./huffman-encode.ts";
import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD_BYTES, FIRST_DYNAMIC_INDEX, STATIC_FIELDS } from "./static-table.ts";

/** What a field is made of at most beside its name and value: the first byte's integer, and two lengths. */
const FIELD_OVERHEAD_BYTES = 16;
/** Names that are remembered; heads of one connection have fewer. Beyond, those without an entry are forgotten. */
const MAX_NAMES = 128;
/** Values of one name that are looked at, newest first. */
const MAX_VALUES = 16;
/** As often a field may be entered for nothing, until its values count as ever new. */
const MAX_MISSES = 4;
/** A Cookie below this length can be guessed (RFC 7541, section 7.1.3); the figure is nghttp2's. */
const MIN_COOKIE_CHARS = 20;
/** Longer texts are written by the buffer, shorter ones by a loop, which costs less than the call. */
const MAX_LOOP_CHARS = 10;

/** How the first byte of a literal says what becomes of it (RFC 7541, section 6.2). */
const INDEXED_LITERAL = 0x40;
const PLAIN_LITERAL = 0;
const NEVER_INDEXED = 0x10;

/** Change from request to request as a rule; the choice is nghttp2's. Those that do not are found out. */
const VARYING = new Set([
  ":path",
  "age",
  "content-length",
  "etag",
  "if-modified-since",
  "if-none-match",
  "location",
  "set-cookie",
]);

/** A field in the table. */
interface Entry {
  /** How many were entered before it. */
  readonly number: number;
  readonly value: string;
  readonly bytes: number;
  /** The entry of the same name before it. */
  older: Entry | undefined;
}

/** What is remembered of a name. */
interface Name {
  readonly name: string;
  /** Its first index in the static table; 0: it is not there. */
  readonly staticIndex: number;
  /** The values that it has there, from `staticIndex` on; `undefined`: only the empty one. */
  readonly staticValues: readonly string[] | undefined;
  newest: Entry | undefined;
  /** Entries for nothing, less those that were of use. */
  misses: number;
  /** Tells the last value that was sent from most others. */
  print: number;
}

/**
 * Encodes the header blocks of one direction of a connection (RFC 7541).
 *
 * A field goes into the table if its like has come again before: each name counts how often an entry was of use, and one whose
 * values are ever new (a request id, a length) is sent as a literal until a value comes twice in a row. Never indexed are
 * Authorization, short cookies, and what the caller says (section 7.1.3).
 */
export class HpackEncoder {
  readonly #limitBytes: number;
  /** As large as the table is. */
  #maxBytes: number;
  /** As large as the decoder takes it to be. */
  #announcedBytes = DEFAULT_TABLE_BYTES;
  /** The smallest it was since. */
  #smallestBytes: number;
  #tableBytes = 0;
  readonly #names = new Map<string, Name>();
  /** The entries; number n is in place n modulo its length, a power of two. */
  #ring: (Entry | undefined)[] = Array.from({ length: 16 });
  /** The number of the next entry. */
  #next = 0;
  /** The number of the oldest entry that is still there. */
  #oldest = 0;

  /** Room that {@link begin} needs. */
  static readonly BEGIN_BYTES: number = 12;

  /** @param maxTableBytes The table is never larger, whatever the peer allows. Default 4096. 0: without a table. */
  constructor(maxTableBytes: number = DEFAULT_TABLE_BYTES) {
    this.#limitBytes = maxTableBytes;
    this.#maxBytes = Math.min(maxTableBytes, DEFAULT_TABLE_BYTES);
    this.#smallestBytes = this.#maxBytes;
  }

  /** A bound on the bytes that {@link field} writes. */
  static maxBytes(name: string, value: string): number {
    return name.length + value.length + FIELD_OVERHEAD_BYTES;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. The next block says what follows from it (RFC 7541, section 4.2). */
  setPeerTableBytes(bytes: number): void {
    this.#maxBytes = Math.min(bytes, this.#limitBytes);
    this.#smallestBytes = Math.min(this.#smallestBytes, this.#maxBytes);
    this.#evict(this.#maxBytes);
  }

  /** A block that was begun is not sent: the decoder has not seen what it put into the table. The next one empties it. */
  abandon(): void {
    this.#smallestBytes = 0;
    // It may have been the one that said how large the table is.
    this.#announcedBytes = Number.POSITIVE_INFINITY;
    this.#evict(0);
  }

  /** Begins a block at `at`. Gives where its first field goes. */
  begin(target: Buffer, at: number): number {
    if (this.#maxBytes === this.#announcedBytes && this.#smallestBytes === this.#maxBytes) return at;
    let to = at;
    if (this.#smallestBytes < Math.min(this.#maxBytes, this.#announcedBytes))
      to = writeInteger(target, to, 0x20, 0x1f, this.#smallestBytes);
    this.#announcedBytes = this.#maxBytes;
    this.#smallestBytes = this.#maxBytes;
    return writeInteger(target, to, 0x20, 0x1f, this.#maxBytes);
  }

  /**
   * Writes a field at `at`, where there is room for {@link maxBytes}. Gives where it ends.
   * @param name In lower case, one character a byte, as the value.
   * @param neverIndex It came as a literal that is never indexed, or is a secret.
   */
  field(target: Buffer, at: number, name: string, value: string, neverIndex = false): number {
    const known = this.#names.get(name) ?? this.#learn(name);
    if (neverIndex || isSecret(name, value)) return this.#literal(target, at, NEVER_INDEXED, 0x0f, known, value);
    const { staticValues } = known;
    if (staticValues !== undefined) {
      for (let place = 0; place < staticValues.length; place++) {
        if (staticValues[place] !== value) continue;
        target[at] = 0x80 | (known.staticIndex + place);
        return at + 1;
      }
    }
    const entry = this.#find(known, value);
    if (entry !== undefined) {
      if (known.misses > 0) known.misses--;
      return writeInteger(target, at, 0x80, 0x7f, this.#indexOf(entry));
    }
    const bytes = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (!this.#isWorthIt(known, value, bytes)) return this.#literal(target, at, PLAIN_LITERAL, 0x0f, known, value);
    const to = this.#literal(target, at, INDEXED_LITERAL, 0x3f, known, value);
    this.#add(known, value, bytes);
    return to;
  }

  #literal(target: Buffer, at: number, bits: number, prefix: number, known: Name, value: string): number {
    const { staticIndex, newest } = known;
    let to: number;
    if (staticIndex > 0) to = writeInteger(target, at, bits, prefix, staticIndex);
    else if (newest !== undefined && newest.number >= this.#oldest) {
      to = writeInteger(target, at, bits, prefix, this.#indexOf(newest));
    } else {
      target[at] = bits;
      to = writeText(target, at + 1, known.name, bits);
    }
    return writeText(target, to, value, bits);
  }

  #find(known: Name, value: string): Entry | undefined {
    let entry = known.newest;
    for (let looks = 1; entry !== undefined; looks++) {
      if (entry.number < this.#oldest) {
        // Those behind it are gone as well.
        known.newest = undefined;
        return undefined;
      }
      if (entry.value === value) return entry;
      const { older } = entry;
      if (older === undefined) return undefined;
      if (looks === MAX_VALUES || older.number < this.#oldest) {
        entry.older = undefined;
        return undefined;
      }
      entry = older;
    }
    return undefined;
  }

  /** Whether a field that is not in the table is to be. One that fills half of it would drive out what is of use. */
  #isWorthIt(known: Name, value: string, bytes: number): boolean {
    if (bytes * 2 > this.#maxBytes) return false;
    const print = fingerprint(value);
    const again = print === known.print;
    known.print = print;
    if (known.misses < MAX_MISSES) {
      known.misses++;
      return true;
    }
    return again;
  }

  #indexOf(entry: Entry): number {
    return FIRST_DYNAMIC_INDEX + this.#next - 1 - entry.number;
  }

  #add(known: Name, value: string, bytes: number): void {
    this.#evict(this.#maxBytes - bytes);
    if (this.#next - this.#oldest === this.#ring.length) this.#grow();
    const entry: Entry = { number: this.#next, value: ownText(value), bytes, older: known.newest };
    known.newest = entry;
    this.#ring[this.#next++ & (this.#ring.length - 1)] = entry;
    this.#tableBytes += bytes;
  }

  /** Until the table has no more than that. */
  #evict(maxBytes: number): void {
    while (this.#tableBytes > maxBytes) {
      const place = this.#oldest++ & (this.#ring.length - 1);
      this.#tableBytes -= this.#ring[place]!.bytes;
      this.#ring[place] = undefined;
    }
  }

  #grow(): void {
    const { length } = this.#ring;
    const ring: (Entry | undefined)[] = Array.from({ length: length * 2 });
    for (const entry of this.#ring) ring[entry!.number & (length * 2 - 1)] = entry;
    this.#ring = ring;
  }

  #learn(name: string): Name {
    if (this.#names.size >= MAX_NAMES) this.#forget();
    const known = newName(ownText(name));
    this.#names.set(known.name, known);
    return known;
  }

  #forget(): void {
    for (const [name, { newest }] of this.#names) {
      if (newest === undefined || newest.number < this.#oldest) this.#names.delete(name);
    }
  }
}

function newName(name: string): Name {
  const first = STATIC_FIELDS.findIndex(([one]) => one === name);
  const values = STATIC_FIELDS.filter(([one]) => one === name).map(([, value]) => value);
  return {
    name,
    staticIndex: first + 1,
    staticValues: values.length > 0 && values[0] !== "" ? values : undefined,
    newest: undefined,
    misses: VARYING.has(name) ? MAX_MISSES : 0,
    print: -1,
  };
}

function isSecret(name: string, value: string): boolean {
  switch (name.length) {
    case 6:
      return value.length < MIN_COOKIE_CHARS && name === "cookie";
    case 13:
      return name === "authorization";
    case 19:
      return name === "proxy-authorization";
    default:
      return false;
  }
}

/** Equal for equal values, and for few others: of a long one, some of its characters decide. */
function fingerprint(value: string): number {
  const { length } = value;
  const step = (length >> 5) + 1;
  let print = length;
  for (let at = length - 1; at >= 0; at -= step) print = (Math.imul(print, 31) + value.charCodeAt(at)) | 0;
  return print;
}

/** A copy that does not hold on to the head that the text may be a slice of. */
function ownText(text: string): string {
  return latin1(Buffer.from(text, "latin1"), 0, text.length);
}

/** RFC 7541, section 5.1. */
function writeInteger(target: Buffer, at: number, bits: number, prefix: number, value: number): number {
  if (value < prefix) {
    target[at] = bits | value;
    return at + 1;
  }
  let to = at;
  target[to++] = bits | prefix;
  let rest = value - prefix;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[to++] = (rest & 0x7f) | 0x80;
  target[to++] = rest;
  return to;
}

/**
 * RFC 7541, section 5.2. What goes into the table is sent once, and coded where that is shorter. What does not is sent again and again:
 * to code it takes ten times as long as to write it (300 ns and 30 for 28 characters), for a quarter of its bytes.
 */
function writeText(target: Buffer, at: number, text: string, bits: number): number {
  const { length } = text;
  if (bits === INDEXED_LITERAL) {
    const coded = huffmanBytes(text);
    if (coded < length) return huffmanEncode(text, target, writeInteger(target, at, 0x80, 0x7f, coded));
  }
  const to = writeInteger(target, at, 0, 0x7f, length);
  if (length > MAX_LOOP_CHARS) return to + target.write(text, to, "latin1");
  for (let i = 0; i < length; i++) target[to + i] = text.charCodeAt(i);
  return to + length;
}
