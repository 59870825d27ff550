/** Name and value of every line, as spelt. */
export type Fields = readonly (readonly [name: string, value: string])[];

// RFC 9110, section 7.6.1, with the fields that only ever spoke of one connection.
const HOP_BY_HOP = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/** The fields that must arrive at the far side as they were sent. Written apart from the code under test. */
export function endToEnd(fields: Fields): [name: string, value: string][] {
  const options = fields.filter(([name]) => name.toLowerCase() === "connection").map(([, value]) => value);
  const named = options.flatMap((value) => value.split(",")).map((option) => option.trim().toLowerCase());
  const gone = new Set([...HOP_BY_HOP, ...named]);
  return fields.filter(([name]) => !gone.has(name.toLowerCase())).map(([name, value]) => [name, value]);
}

export function withoutField(fields: Fields, name: string): [name: string, value: string][] {
  return fields.filter(([own]) => own.toLowerCase() !== name).map(([own, value]) => [own, value]);
}

export function hasField(fields: Fields, name: string): boolean {
  return fields.some(([own]) => own.toLowerCase() === name);
}

/** The lines that say where a message ends: more than one of them, and two readers could see two messages. */
export function framingFields(fields: Fields): string[] {
  const lines = fields.filter(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  return lines.map(([name, value]) => `${name.toLowerCase()}: ${value}`);
}
