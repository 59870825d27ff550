import { checkFieldName, checkFieldValue } from "./field-grammar.ts";
import { sameName, type FieldLines } from "./field-lines.ts";

/**
 * Header fields with their spelling and their order on the wire.
 *
 * Names compare without regard to case. Values are latin1 strings, one character a byte, so bytes that are not UTF-8
 * pass unharmed. Fields keep the exact order in which they arrived or were added (Pingora regroups equal names).
 */
export class HeaderFields {
  /** @internal The lines as received, until somebody asks for {@link raw}; those of `added` follow. */
  lines: FieldLines | undefined;
  /** @internal Bit n: line n of `lines` was removed. */
  gone = 0;
  /** @internal Name, value, …: all fields, or those after `lines`. */
  added: string[];
  /**
   * @internal Names, in lower case, of fields that came over HTTP/2 with the demand to keep them out of every compression table, here and
   * further on (RFC 7541, section 7.1.3); `undefined`: none. `:path` may be among them.
   */
  neverIndexed: Set<string> | undefined = undefined;

  /** @param fields Name, value, name, value, …, or lines as received; taken over, not copied, not validated. */
  constructor(fields: string[] | FieldLines = []) {
    if (Array.isArray(fields)) {
      this.lines = undefined;
      this.added = fields;
    } else {
      this.lines = fields;
      this.added = [];
    }
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

  /**
   * Name, value, name, value, …, as spelt: a live array. For code that walks over all fields; what is written here is not
   * validated. The first use makes a string of every name and value, which a head that is only passed on never needs.
   */
  get raw(): string[] {
    if (this.lines !== undefined) this.#cutLines(this.lines);
    return this.added;
  }

  /** The number of fields (lines). */
  get size(): number {
    let received = this.lines?.count ?? 0;
    for (let gone = this.gone; gone !== 0; gone &= gone - 1) received--;
    return received + this.added.length / 2;
  }

  /** The value of the first field of that name. */
  get(name: string): string | undefined {
    if (this.lines !== undefined) {
      const line = this.lines.indexOf(name, 0, this.gone);
      if (line >= 0) return this.lines.value(line);
    }
    const at = indexOfName(this.added, name, 0);
    return at < 0 ? undefined : this.added[at + 1];
  }

  /** The values of all fields of that name, in order. */
  getAll(name: string): string[] {
    const { lines, added } = this;
    let values: string[] | undefined;
    if (lines !== undefined) {
      for (let line = lines.indexOf(name, 0, this.gone); line >= 0; line = lines.indexOf(name, line + 1, this.gone)) {
        values = withValue(values, lines.value(line));
      }
    }
    for (let at = indexOfName(added, name, 0); at >= 0; at = indexOfName(added, name, at + 2)) {
      values = withValue(values, added[at + 1] as string);
    }
    return values ?? [];
  }

  has(name: string): boolean {
    return (this.lines?.indexOf(name, 0, this.gone) ?? -1) >= 0 || indexOfName(this.added, name, 0) >= 0;
  }

  /**
   * Replaces all fields of that name by one, in the place of the first; the new spelling wins.
   * @throws InvalidHeaderError
   */
  set(name: string, value: string | number): this {
    const text = typeof value === "number" ? String(value) : value;
    checkFieldName(name);
    checkFieldValue(name, text);
    // Its place is among the lines: they must be taken apart.
    if (this.lines !== undefined && this.lines.indexOf(name, 0, this.gone) >= 0) this.#cutLines(this.lines);
    const { added } = this;
    const at = indexOfName(added, name, 0);
    if (at < 0) {
      added.push(name, text);
      return this;
    }
    added[at] = name;
    added[at + 1] = text;
    removeFrom(added, name, at + 2);
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
    this.added.push(name, text);
    return this;
  }

  /**
   * Adds all of `init`, keeping what is there.
   * @throws InvalidHeaderError
   */
  appendAll(init: HeaderFieldsInit): this {
    if (init instanceof HeaderFields) {
      for (const text of init.raw) this.added.push(text);
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
    const { lines, added } = this;
    let value: string | undefined;
    if (lines !== undefined) {
      for (let line = lines.indexOf(name, 0, this.gone); line >= 0; line = lines.indexOf(name, line + 1, this.gone)) {
        value ??= lines.value(line);
        this.gone |= 1 << line;
      }
    }
    const at = indexOfName(added, name, 0);
    if (at < 0) return value;
    value ??= added[at + 1];
    removeFrom(added, name, at);
    return value;
  }

  /** Pairs of spelling and value, in order. */
  *[Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    const raw = this.raw;
    for (let at = 0; at < raw.length; at += 2) {
      yield [raw[at] as string, raw[at + 1] as string];
    }
  }

  /** @internal For a new object: the same fields. */
  protected takeFieldsOf(other: HeaderFields): void {
    this.lines = other.lines;
    this.gone = other.gone;
    this.added = other.added.slice();
    this.neverIndexed = other.neverIndexed;
  }

  /** From now on every field is in `added`, as strings. */
  #cutLines(lines: FieldLines): void {
    const raw: string[] = [];
    for (let line = 0; line < lines.count; line++) {
      if ((this.gone & (1 << line)) === 0) raw.push(lines.name(line), lines.value(line));
    }
    for (const text of this.added) raw.push(text);
    this.lines = undefined;
    this.gone = 0;
    this.added = raw;
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
  for (let at = from; at < raw.length; at += 2) {
    if (sameName(raw[at] as string, name)) return at;
  }
  return -1;
}

/** Most fields stand there once, and an empty array that is pushed to takes room for 17. */
function withValue(values: string[] | undefined, value: string): string[] {
  if (values === undefined) return [value];
  values.push(value);
  return values;
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
