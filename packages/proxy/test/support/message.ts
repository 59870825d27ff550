import { withCapitals } from "./message-notation.ts";
import type { Wire } from "./wire.ts";

/** A message as it stood on the wire. Written apart from the code under test: it shares no parser with it. */
export interface Message {
  /** Without CR LF. */
  readonly startLine: string;
  /** Name and value of every line, as spelt. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  /** The sizes of the chunks, if it was chunked. */
  readonly chunks: readonly number[];
  /** Of a response; NaN for a request. */
  readonly status: number;
  /** The values of all fields of that name, joined; `undefined` if there are none. */
  readonly field: (name: string) => string | undefined;
}

/** What stands before a body. */
export type MessageHead = Omit<Message, "body" | "trailers" | "chunks">;

/**
 * Reads one message by its framing: chunked, Content-Length, none, or, for responses, until the connection ends by FIN.
 * @param toHead The response is one to HEAD.
 */
export async function readMessage(wire: Wire, toHead: boolean): Promise<Message> {
  return readBody(wire, await readHead(wire), toHead);
}

export async function readHead(wire: Wire): Promise<MessageHead> {
  const head = (await wire.upTo("\r\n\r\n")).slice(0, -4);
  const [startLine = "", ...lines] = head.split("\r\n");
  const fields = lines.map((line) => toField(line, wire));
  const field = (name: string): string | undefined => {
    const values = fields.filter(([own]) => own.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
    return values.length === 0 ? undefined : values.join(", ");
  };
  const status = startLine.startsWith("HTTP/") ? Number(startLine.split(" ")[1]) : Number.NaN;
  return { startLine, fields, field, status };
}

/** What follows a head, together with it. */
export async function readBody(wire: Wire, head: MessageHead, toHead: boolean): Promise<Message> {
  const { field, status } = head;
  const message = { ...head, trailers: [], chunks: [], body: Buffer.alloc(0) };
  const bodiless = toHead || status < 200 || status === 204 || status === 304;
  if (bodiless) return message;
  if (field("transfer-encoding") !== undefined) return { ...message, ...(await readChunked(wire)) };
  const length = field("content-length");
  if (length !== undefined) return { ...message, body: await wire.bytes(Number(length)) };
  if (Number.isNaN(status)) return message;
  return { ...message, body: await readUntilClose(wire) };
}

async function readChunked(wire: Wire): Promise<Pick<Message, "body" | "trailers" | "chunks">> {
  const pieces: Buffer[] = [];
  for (;;) {
    const line = (await wire.upTo("\r\n")).slice(0, -2);
    if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`no chunk size: ${JSON.stringify(line)}`);
    const size = Number.parseInt(line, 16);
    if (size === 0) break;
    pieces.push(await wire.bytes(size));
    const after = (await wire.bytes(2)).toString("latin1");
    if (after !== "\r\n") throw new Error(`after a chunk: ${JSON.stringify(after)}`);
  }
  const trailers: [string, string][] = [];
  for (let line = await wire.upTo("\r\n"); line !== "\r\n"; line = await wire.upTo("\r\n")) {
    trailers.push(toField(line.slice(0, -2), wire));
  }
  return { body: Buffer.concat(pieces), trailers, chunks: pieces.map(({ length }) => length) };
}

async function readUntilClose(wire: Wire): Promise<Buffer> {
  const body = await wire.rest();
  if (!wire.ended) throw new Error(`a body that lasts until the connection ends was cut: ${wire.error?.code}`);
  return body;
}

function toField(line: string, { spellsNames }: Wire): [string, string] {
  const colon = line.indexOf(":");
  if (colon < 1) throw new Error(`no field: ${JSON.stringify(line)}`);
  const name = line.slice(0, colon);
  return [spellsNames ? withCapitals(name) : name, line.slice(colon + 1).trim()];
}

/** `body` in chunks of at most `size` bytes, with the end, and trailers between if they are given. */
export function chunked(body: Uint8Array, size = 60_000, trailers = ""): Buffer {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < body.length; at += size) {
    const piece = body.subarray(at, at + size);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n"));
  }
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailers}\r\n`, "latin1")]);
}

/** Bytes in which a lost, doubled or misplaced piece shows: every four tell their own place. */
export function patternBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let at = 0;
  for (; at + 4 <= length; at += 4) bytes.writeUInt32BE((at * 2_654_435_761) >>> 0, at);
  for (; at < length; at++) bytes[at] = at & 0xff;
  return bytes;
}
