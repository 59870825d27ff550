import type { Random } from "./random.ts";

/** Words and bytes that mean something to a reader of HTTP/1. */
const WORDS: readonly string[] = [
  [
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\r\n ",
    "\0",
    " ",
    "\t",
    ":",
    ": ",
    ",",
    ";",
    '"',
    "\\",
    "=",
    "#",
    "?",
    "\x7f",
    "\xff",
  ],
  ["GET ", "CONNECT a.test:80 ", "OPTIONS * ", "HEAD ", "/", "*", "http://", "http://b.test", "[::1]", "@", ":80"],
  [
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "HTTP/1.1 ",
    "HTTP/2.0",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 \r\n\r\n",
    "204",
    "304",
  ],
  ["101", "Host: a.test\r\n", "Content-Length: ", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"],
  [
    "transfer-encoding:",
    "chunked",
    "gzip",
    "identity",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "keep-alive",
  ],
  [
    "Keep-Alive: timeout=5",
    "Expect: 100-continue\r\n",
    "Upgrade: x\r\n",
    "TE: trailers\r\n",
    "Trailer: X\r\n",
    "X: y\r\n",
  ],
  ["0\r\n\r\n", "5\r\nhello\r\n", "1;a=b\r\nx\r\n", "0\r\nX: y\r\n\r\n", "ffffffffffffffff", "1fffffffffffff"],
  [
    "0",
    "1",
    "5",
    "00000000000000005",
    "9007199254740991",
    "9007199254740992",
    "18446744073709551616",
    "-1",
    "+1",
    "0x1",
  ],
].flat();

/** Changes `from` in one to five places; now and then by a piece of `other`. */
export function mutate(random: Random, from: string, other: string, maxLength: number): string {
  let text = from;
  for (let left = 1 + random.below(5); left > 0; left--) text = changeOnce(random, text, other);
  return text.slice(0, maxLength);
}

function changeOnce(random: Random, text: string, other: string): string {
  const at = random.below(text.length + 1);
  const length = 1 + random.below(Math.min(random.pick([1, 4, 32]), Math.max(text.length - at, 1)));
  const before = text.slice(0, at);
  const piece = text.slice(at, at + length);
  const after = text.slice(at + length);
  switch (random.below(9)) {
    case 0:
      return before + after;
    case 1:
      return before + String.fromCharCode(random.below(256)) + text.slice(at + 1);
    case 2:
      return before + String.fromCharCode(random.below(256)) + text.slice(at);
    case 3:
      return before + random.pick(WORDS) + text.slice(at);
    case 4:
      return before + random.pick(WORDS) + after;
    case 5:
      // Repeated up to where limits lie.
      return before + piece.repeat(1 + random.below(random.pick([3, 20, 300]))) + after;
    case 6: {
      const start = random.below(other.length + 1);
      return before + other.slice(start, start + 1 + random.below(64)) + text.slice(at);
    }
    case 7:
      return before + other.slice(random.below(other.length + 1));
    default: {
      // A line to another place.
      const lines = text.split("\r\n");
      const [line] = lines.splice(random.below(lines.length), 1);
      lines.splice(random.below(lines.length + 1), 0, line!);
      return lines.join("\r\n");
    }
  }
}
