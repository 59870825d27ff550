import { checkFieldName, checkFieldValue } from "./field-grammar.ts";

/**
 * Header fields with their spelling and their order on the wire.
 *
 * Names compare without regard to case. Values are latin1 strings, one character a byte, so bytes that are not UTF-8
 * pass unharmed. Fields keep the exact order in which they arrived or were added (Pingora regroups equal names).
 */
export class HeaderFields {
  /**
   * Name, value, name, value, …, as spelt. For code that must not allocate, such as serialisers; what is written here
   * is not validated.
   */
  readonly raw: string[];

  /** @param raw Name, value, name, value, …; taken over, not copied, not validated. */
  constructor(raw: string[] = []) {
    this.raw = raw;
  }

  /**
   * From pairs or an object; a name with several values gives several fields.
   * @throws InvalidHeaderError when a name or value cannot stand in a head.
   */
  static from(init: HeaderFieldsInit): HeaderFields {
    const fields = new HeaderFields();
    fields.appendAll(init);
    return fields;
  }

  /** The number of fields (lines). */
  get size(): number {
    return this.raw.length / 2;
  }

  /** The value of the first field of that name. */
  get(name: string): string | undefined {
    const at = indexOfName(this.raw, name, 0);
    return at < 0 ? undefined : this.raw[at + 1];
  }

  /** The values of all fields of that name, in order. */
  getAll(name: string): string[] {
    const values: string[] = [];
    for (let at = indexOfName(this.raw, name, 0); at >= 0; at = indexOfName(this.raw, name, at + 2)) {
      values.push(this.raw[at + 1] as string);
    }
    return values;
  }

  has(name: string): boolean {
    return indexOfName(this.raw, name, 0) >= 0;
  }

  /**
   * Replaces all fields of that name by one, in the place of the first; the new spelling wins.
   * @throws InvalidHeaderError
   */
  set(name: string, value: string | number): this {
    const text = typeof value === "number" ? String(value) : value;
    checkFieldName(name);
    checkFieldValue(name, text);
    const at = indexOfName(this.raw, name, 0);
    if (at < 0) {
      this.raw.push(name, text);
      return this;
    }
    this.raw[at] = name;
    this.raw[at + 1] = text;
    removeFrom(this.raw, name, at + 2);
    return this;
  }

  /**
   * Adds a field and keeps those of the same name.
   * @throws InvalidHeaderError
   */
  append(name: string, value: string | number): this {
    const text = typeof value === "number" ? String(value) : value;
    checkFieldName(name);
    checkFieldValue(name, text);
    this.raw.push(name, text);
    return this;
  }

  /**
   * Adds all of `init`, keeping what is there.
   * @throws InvalidHeaderError
   */
  appendAll(init: HeaderFieldsInit): this {
    if (init instanceof HeaderFields) {
      for (const text of init.raw) this.raw.push(text);
      return this;
    }
    for (const [name, value] of Symbol.iterator in init ? init : Object.entries(init)) {
      if (Array.isArray(value)) for (const one of value as readonly string[]) this.append(name, one);
      else this.append(name, value as string | number);
    }
    return this;
  }

  /** Removes all fields of that name; returns the first value. */
  remove(name: string): string | undefined {
    const at = indexOfName(this.raw, name, 0);
    if (at < 0) return undefined;
    const value = this.raw[at + 1];
    removeFrom(this.raw, name, at);
    return value;
  }

  /** Pairs of spelling and value, in order. */
  *[Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    for (let at = 0; at < this.raw.length; at += 2) {
      yield [this.raw[at] as string, this.raw[at + 1] as string];
    }
  }
}

/** What header fields may be made from: pairs, an object, or other fields. */
export type HeaderFieldsInit =
  | HeaderFields
  | Iterable<readonly [name: string, value: string | number]>
  | Readonly<Record<string, string | number | readonly string[]>>;

/**
 * The index in `raw` of the first field called `name` at or after `from`, or -1.
 *
 * Heads are short: a scan that compares lengths first beats an index that must be built and kept.
 */
function indexOfName(raw: readonly string[], name: string, from: number): number {
  const length = name.length;
  let lower: string | undefined;
  for (let at = from; at < raw.length; at += 2) {
    const candidate = raw[at] as string;
    if (candidate.length !== length) continue;
    if (candidate === name) return at;
    lower ??= name.toLowerCase();
    if (candidate.toLowerCase() === lower) return at;
  }
  return -1;
}

function removeFrom(raw: string[], name: string, from: number): void {
  let write = indexOfName(raw, name, from);
  if (write < 0) return;
  let hit = write;
  for (let read = write; read < raw.length; read += 2) {
    if (read === hit) {
      hit = indexOfName(raw, name, read + 2);
      continue;
    }
    raw[write] = raw[read] as string;
    raw[write + 1] = raw[read + 1] as string;
    write += 2;
  }
  raw.length = write;
}
