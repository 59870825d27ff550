import * as fc from "fast-check";
import { bytesOf, readCorpus, type CorpusCase } from "../corpus.ts";

/** A message that nobody wrote by hand. */
export interface Generated {
  raw: string;
  /** Of the request, if this is a response. */
  method: string;
  fin: boolean;
}

// The same messages with every run, so that a list of what differs can be complete.
const SEED = 9112;

const LINE_ENDS = ["\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\t\r\n", "\0\r\n"];
const LENGTHS = ["0", "5", "05", "+5", "-5", "5,5", "5 5", "0x5", "5.0", "", "99999999999999999999"];
const CODINGS = [
  "chunked",
  "CHUNKED",
  "gzip, chunked",
  "chunked, gzip",
  "chunked, chunked",
  "identity",
  "",
  "chunked,",
  "xchunked",
];
const CONNECTIONS = ["close", "keep-alive", "Keep-Alive, x", "upgrade", "close, keep-alive", ",", ""];
const ODD_FIELDS = [
  "X : a",
  "X\t: a",
  " X: a",
  "X",
  ": a",
  "X: a\r\n b",
  "X: a\0b",
  "X: a\x7fb",
  "X: \xe9",
  "X\xe9: a",
  "X: a\rb",
  "X: a\nY: b",
  'X"Y: a',
  "Expect: 100-continue",
  "Keep-Alive: timeout=5",
  "Trailer: X",
];
const TARGETS = [
  "/",
  "/a?b=c",
  "*",
  "a.test:80",
  "http://b.test/x",
  "HTTP://b.test",
  "ftp://b.test/",
  "/a#b",
  "/\xff",
  "/%zz",
  "//",
  "?a",
  "",
  "/a b",
  "/\0",
];
const HOSTS = ["a.test", "a.test:80", "[::1]:80", "", "a/b", "u@a", "a b", "a,b", "a:b", "\xe9"];
const METHODS = ["GET", "POST", "HEAD", "OPTIONS", "DELETE", "get", "M-SEARCH", "UNKNOWN", "CONNECT", "G(T", ""];
const VERSIONS = [
  "HTTP/1.1",
  "HTTP/1.0",
  "HTTP/1.2",
  "HTTP/0.9",
  "HTTP/2.0",
  "http/1.1",
  "HTTP/1",
  "HTTP/1.1 ",
  "HTTP/01.1",
];
const BODIES = ["", "hello", "hello, and too much", "hel"];
const CHUNKED_BODIES = [
  "0\r\n\r\n",
  "5\r\nhello\r\n0\r\n\r\n",
  "5;a=b\r\nhello\r\n0\r\n\r\n",
  '5;a="\\"\r\nhello\r\n0\r\n\r\n',
  "5\r\nhello\r\n0\r\nX: y\r\n\r\n",
  "5\r\nhello\r\n0\r\n y\r\n\r\n",
  "5 \r\nhello\r\n0\r\n\r\n",
  "5\nhello\n0\n\n",
  "5\r\nhello0\r\n\r\n",
  "5\r\nhelloo\r\n0\r\n\r\n",
  "+5\r\nhello\r\n0\r\n\r\n",
  "0x5\r\nhello\r\n0\r\n\r\n",
  "\r\nhello\r\n0\r\n\r\n",
  "5;\r\nhello\r\n0\r\n\r\n",
  "5;a\rb\r\nhello\r\n0\r\n\r\n",
  "00000005\r\nhello\r\n0000\r\n\r\n",
  "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
  "5\r\nhello\r\n",
];
const STATUSES = ["200", "204", "304", "100", "101", "199", "99", "0200", "2x0", "999", ""];
const REASONS = [" OK", "", " ", "  OK", " \xe9", " a\0b", "\tOK", " a\rb"];

/** Mostly what is usual, now and then something else: a message with one oddity says more than one of oddities only. */
function usually(usual: string, ...others: readonly string[]): fc.Arbitrary<string> {
  return fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
}

const some = (weight: number, all: readonly string[], name: string): fc.Arbitrary<string[]> =>
  fc.oneof(
    { weight, arbitrary: fc.constant<string[]>([]) },
    { weight: 2, arbitrary: fc.constantFrom(...all).map((value) => [`${name}: ${value}`]) },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(...all)
        .chain((a) => fc.constantFrom(...all).map((b) => [`${name}: ${a}`, `${name}:${b}`])),
    },
  );

const fields = fc
  .tuple(
    some(4, LENGTHS, "Content-Length"),
    some(4, CODINGS, "Transfer-Encoding"),
    some(12, CONNECTIONS, "Connection"),
    fc.oneof(
      { weight: 6, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.constantFrom(...ODD_FIELDS).map((line) => [line]) },
    ),
  )
  .chain((groups) => fc.shuffledSubarray(groups.flat(), { minLength: groups.flat().length }));

const body = fc.constantFrom(...BODIES, ...CHUNKED_BODIES);

/** Joins lines; now and then one of the ends is another. */
function assemble(lines: string[], oddEnd: string | undefined, at: number): string {
  const all = [...lines, ""];
  return all
    .map((line, index) => line + (oddEnd !== undefined && index === at % all.length ? oddEnd : "\r\n"))
    .join("");
}

const oddEnd = fc.oneof(
  { weight: 10, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constantFrom(...LINE_ENDS) },
);

const request: fc.Arbitrary<Generated> = fc
  .record({
    method: usually("GET", ...METHODS),
    target: usually("/", ...TARGETS),
    version: usually("HTTP/1.1", ...VERSIONS),
    space: usually(" ", "  ", "\t", ""),
    host: fc.oneof(
      { weight: 10, arbitrary: fc.constant(["Host: a.test"]) },
      { weight: 2, arbitrary: fc.constantFrom(...HOSTS).map((host) => [`Host: ${host}`]) },
      { weight: 1, arbitrary: fc.constantFrom<string[]>([], ["Host: a.test", "host: b.test"]) },
    ),
    fields,
    body,
    oddEnd,
    at: fc.nat(9),
  })
  .map((one) => ({
    raw:
      assemble(
        [`${one.method}${one.space}${one.target} ${one.version}`, ...one.host, ...one.fields],
        one.oddEnd,
        one.at,
      ) + one.body,
    method: "",
    fin: false,
  }));

const response: fc.Arbitrary<Generated> = fc
  .record({
    version: usually("HTTP/1.1", ...VERSIONS),
    status: usually("200", ...STATUSES),
    reason: usually(" OK", ...REASONS),
    space: usually(" ", "  ", "\t", ""),
    fields,
    body,
    oddEnd,
    at: fc.nat(9),
    method: usually("GET", "HEAD"),
    fin: fc.boolean(),
  })
  .map((one) => ({
    raw:
      assemble([`${one.version}${one.space}${one.status}${one.reason}`, ...one.fields], one.oddEnd, one.at) + one.body,
    method: one.method,
    fin: one.fin,
  }));

const BYTES = [
  "\r",
  "\n",
  "\r\n",
  "\0",
  " ",
  "\t",
  ":",
  ",",
  ";",
  "0",
  "1",
  "f",
  "\x7f",
  "\x80",
  "\xff",
  "a",
  "/",
  "#",
  '"',
];

/** Of each case of the corpus. */
const CHANGES = 6;

/** A case of the corpus with a byte too many, too few, or another one. A new case changes nothing for the others. */
function mutated(file: string): Generated[] {
  return readCorpus<CorpusCase & { method?: string; fin?: boolean }>(file)
    .map(({ name, raw, method = "GET", fin = false }) => ({ name, raw: bytesOf(raw), method, fin }))
    .filter(({ raw }) => raw.length < 500)
    .flatMap(({ name, ...one }) => {
      const change = fc
        .record({ at: fc.nat(one.raw.length), how: fc.constantFrom(0, 1, 1), byte: fc.constantFrom("", ...BYTES) })
        .map(({ at, how, byte }) => ({ ...one, raw: one.raw.slice(0, at) + byte + one.raw.slice(at + how) }));
      return fc.sample(change, { seed: seedOf(name), numRuns: CHANGES });
    });
}

function seedOf(name: string): number {
  let seed = SEED;
  for (const character of name) seed = (Math.imul(seed, 31) + character.codePointAt(0)!) | 0;
  return seed;
}

export function generatedRequests(): Generated[] {
  return [...fc.sample(request, { seed: SEED, numRuns: 2500 }), ...mutated("requests.json")];
}

export function generatedResponses(): Generated[] {
  return [...fc.sample(response, { seed: SEED, numRuns: 2500 }), ...mutated("responses.json")];
}
