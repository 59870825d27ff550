// What reading a head costs: `node packages/core/bench/parse-head.bench.ts`. Prints nanoseconds per head.
import { strictEqual } from "node:assert";
import type { RequestHeader, ResponseHeader } from "@sluice/http";
import { Framing } from "../src/http1/framing.ts";
import { DEFAULT_HEAD_LIMITS } from "../src/http1/head-limits.ts";
import { lastHeadEnd, parseRequestHead, parseResponseHead } from "../src/http1/parse-head.ts";
import { checkRequest } from "../src/http1/request-rules.ts";
import { REQUESTS, RESPONSES } from "./header-sets.ts";
import { nanosecondsEach, printLine } from "./median.ts";

const ROUNDS = 200_000;

for (const [name, text] of REQUESTS) {
  const buffer = Buffer.from(text, "latin1");
  const framing = new Framing();
  const parse = (): RequestHeader => parseRequestHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)!;
  measure(
    `request, ${name}, ${buffer.length} bytes`,
    text,
    parse,
    (head) => `${head.method} ${head.target} HTTP/${head.version}`,
  );
  const checked = nanosecondsEach(ROUNDS, () => {
    const head = parse();
    framing.read(head);
    checkRequest(head, framing);
  });
  strictEqual(framing.hosts, 1);
  printLine("  with framing and the rules for requests", checked, "head");
}

for (const [name, text] of RESPONSES) {
  const buffer = Buffer.from(text, "latin1");
  const framing = new Framing();
  const parse = (): ResponseHeader => parseResponseHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)!;
  measure(
    `response, ${name}, ${buffer.length} bytes`,
    text,
    parse,
    (head) => `HTTP/${head.version} ${head.status} ${head.reason}`,
  );
  const framed = nanosecondsEach(ROUNDS, () => framing.read(parse()));
  strictEqual(framing.contentLength > 0, true);
  printLine("  with framing", framed, "head");
}

/** Before and after: what was parsed says what the text says. */
function measure<H extends RequestHeader | ResponseHeader>(
  what: string,
  text: string,
  parse: () => H,
  startLine: (head: H) => string,
): void {
  const check = (): void => {
    const head = parse();
    const lines = [...head].map(([field, value]) => `${field}: ${value}\r\n`);
    strictEqual(`${startLine(head)}\r\n${lines.join("")}\r\n`, text);
    strictEqual(lastHeadEnd(), text.length);
  };
  check();
  const nanoseconds = nanosecondsEach(ROUNDS, parse);
  check();
  printLine(what, nanoseconds, "head");
}
