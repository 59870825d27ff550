/**
 * A strict reader of what stood on a connection, written apart from the code under test: it shares no parser with it, takes
 * nothing that RFC 9112 does not allow, and knows of every byte to which message it belongs.
 */
export interface StrictMessage {
  readonly startLine: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
}

export interface StrictResponse extends StrictMessage {
  readonly status: number;
  /** The statuses of the interim responses before it. */
  readonly interim: readonly number[];
}

/** How a direction of a connection ended, if it did. */
export type Ending = "open" | "fin" | "reset";

export interface Responses {
  /** Those that a client takes for complete. */
  readonly complete: StrictResponse[];
  /** Bytes of a message that the client knows to be cut: its start, as far as it came. */
  readonly unfinished: string;
  /** What followed a 101; `undefined` without one. */
  readonly tunnel: string | undefined;
}

export interface Requests {
  readonly complete: StrictMessage[];
  /** Bytes of a message that is not whole. */
  readonly unfinished: string;
}

const STATUS_LINE = /^HTTP\/1\.1 ([1-9]\d\d) [\t\x20-\x7e\x80-\xff]*$/;
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+ HTTP\/1\.1$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t\x20-\x7e\x80-\xff]*)$/;
const CHUNK_SIZE = /^[0-9a-fA-F]+$/;

/** The message is not all there. */
const INCOMPLETE = new Error("incomplete");

class Cursor {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  line(): string {
    const end = this.text.indexOf("\r\n", this.at);
    if (end < 0) throw INCOMPLETE;
    const line = this.text.slice(this.at, end);
    this.at = end + 2;
    return line;
  }

  take(count: number): string {
    if (this.at + count > this.text.length) throw INCOMPLETE;
    const taken = this.text.slice(this.at, this.at + count);
    this.at += count;
    return taken;
  }

  rest(): string {
    return this.take(this.text.length - this.at);
  }
}

/**
 * @param methods Of the requests, in the order in which they were sent.
 * @param ending Decides about a body that lasts until the connection ends: only a clean end completes it.
 * @throws Error for anything that is no HTTP/1.1.
 */
export function readResponses(text: string, methods: readonly string[], ending: Ending): Responses {
  const cursor = new Cursor(text);
  const complete: StrictResponse[] = [];
  for (const method of methods) {
    const start = cursor.at;
    if (start === text.length) break;
    let response: StrictResponse;
    try {
      response = readResponse(cursor, method, ending);
    } catch (error) {
      if (error !== INCOMPLETE) throw error;
      return { complete, unfinished: text.slice(start), tunnel: undefined };
    }
    complete.push(response);
    if (response.status === 101) return { complete, unfinished: "", tunnel: cursor.rest() };
  }
  if (cursor.at < text.length) throw new Error(`bytes behind the last response: ${quote(text.slice(cursor.at))}`);
  return { complete, unfinished: "", tunnel: undefined };
}

/** @throws Error for anything that is no HTTP/1.1. */
export function readRequests(text: string): Requests {
  const cursor = new Cursor(text);
  const complete: StrictMessage[] = [];
  while (cursor.at < text.length) {
    const start = cursor.at;
    try {
      const head = readHead(cursor, REQUEST_LINE);
      const framing = framingOf(head.fields);
      if (framing === "chunked") complete.push({ ...head, ...readChunked(cursor) });
      else complete.push({ ...head, body: cursor.take(framing ?? 0), trailers: [] });
    } catch (error) {
      if (error !== INCOMPLETE) throw error;
      return { complete, unfinished: text.slice(start) };
    }
  }
  return { complete, unfinished: "" };
}

function readResponse(cursor: Cursor, method: string, ending: Ending): StrictResponse {
  const interim: number[] = [];
  for (;;) {
    const head = readHead(cursor, STATUS_LINE);
    const status = Number(head.startLine.slice(9, 12));
    const framing = framingOf(head.fields);
    if (status < 200) {
      if (framing !== undefined) throw new Error(`a framing field in ${quote(head.startLine)}`);
      if (status === 101) return { ...head, status, interim, body: "", trailers: [] };
      interim.push(status);
    } else if (method === "HEAD" || status === 204 || status === 304) {
      if (status === 204 && framing !== undefined) throw new Error("a framing field in a 204");
      return { ...head, status, interim, body: "", trailers: [] };
    } else if (framing === "chunked") {
      return { ...head, status, interim, ...readChunked(cursor) };
    } else if (framing !== undefined) {
      return { ...head, status, interim, body: cursor.take(framing), trailers: [] };
    } else {
      if (ending !== "fin") throw INCOMPLETE;
      return { ...head, status, interim, body: cursor.rest(), trailers: [] };
    }
  }
}

function readHead(cursor: Cursor, startLinePattern: RegExp): Pick<StrictMessage, "startLine" | "fields"> {
  const startLine = cursor.line();
  if (!startLinePattern.test(startLine)) throw new Error(`no start line: ${quote(startLine)}`);
  return { startLine, fields: readFields(cursor) };
}

function readFields(cursor: Cursor): [name: string, value: string][] {
  const fields: [string, string][] = [];
  for (let line = cursor.line(); line !== ""; line = cursor.line()) {
    const match = FIELD.exec(line);
    if (match === null) throw new Error(`no field: ${quote(line)}`);
    fields.push([match[1]!, match[2]!]);
  }
  return fields;
}

function framingOf(fields: StrictMessage["fields"]): number | "chunked" | undefined {
  const framing = fields.filter(([name]) => /^(?:content-length|transfer-encoding)$/i.test(name));
  if (framing.length === 0) return undefined;
  if (framing.length > 1) throw new Error(`several framing fields: ${quote(framing.join("; "))}`);
  const [name, value] = framing[0]!;
  if (name.toLowerCase() === "transfer-encoding") {
    if (value !== "chunked") throw new Error(`Transfer-Encoding ${quote(value)}`);
    return "chunked";
  }
  if (!/^\d{1,15}$/.test(value)) throw new Error(`Content-Length ${quote(value)}`);
  return Number(value);
}

function readChunked(cursor: Cursor): Pick<StrictMessage, "body" | "trailers"> {
  let body = "";
  for (;;) {
    const line = cursor.line();
    if (!CHUNK_SIZE.test(line)) throw new Error(`no chunk size: ${quote(line)}`);
    const size = Number.parseInt(line, 16);
    if (size === 0) return { body, trailers: readFields(cursor) };
    body += cursor.take(size);
    if (cursor.take(2) !== "\r\n") throw new Error("a chunk that does not end");
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
