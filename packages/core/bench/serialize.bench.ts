// What writing a head costs, as text and as bytes: `node packages/core/bench/serialize.bench.ts`. Prints nanoseconds per head.
import { strictEqual } from "node:assert";
import { DEFAULT_HEAD_LIMITS } from "../src/http1/head-limits.ts";
import { removeHopByHop } from "../src/http1/hop-by-hop.ts";
import { parseRequestHead, parseResponseHead } from "../src/http1/parse-head.ts";
import { requestHeadText, responseHeadText } from "../src/http1/serialize.ts";
import { REQUESTS, RESPONSES } from "./header-sets.ts";
import { nanosecondsEach, printLine } from "./median.ts";

const ROUNDS = 200_000;
/** Where the bytes go; a socket would take the string and do the same. */
const sink = Buffer.alloc(4096);

for (const [name, text] of REQUESTS) {
  const buffer = Buffer.from(text, "latin1");
  const head = parseRequestHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)!;
  removeHopByHop(head);
  measure(`request, ${name}`, forwarded(text), () => requestHeadText(head, "none"));
}

for (const [name, text] of RESPONSES) {
  const buffer = Buffer.from(text, "latin1");
  const head = parseResponseHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)!;
  removeHopByHop(head);
  measure(`response, ${name}`, forwarded(text), () => responseHeadText(head, "content-length", undefined));
}

function measure(what: string, expected: string, write: () => string): void {
  strictEqual(write(), expected);
  // The text is flattened when it is written: without that, building it looks cheaper than it is.
  const nanoseconds = nanosecondsEach(ROUNDS, () => sink.write(write(), 0, "latin1"));
  strictEqual(write(), expected);
  strictEqual(sink.toString("latin1", 0, expected.length), expected);
  printLine(`${what}, ${expected.length} bytes`, nanoseconds, "head");
}

/** What is left of a head when the fields of one connection have gone. */
function forwarded(text: string): string {
  return text.replaceAll(/^(?:Connection|Keep-Alive): .*\r\n/gm, "");
}
