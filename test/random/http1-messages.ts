import { setImmediate, setTimeout as delay } from "node:timers/promises";
import { chunked } from "../../packages/proxy/test/support/message.ts";
import type { Wire } from "../../packages/proxy/test/support/wire.ts";
import { originBody, type Fields, type Plan } from "./plan.ts";
import { cut, oneOf, random, type Below } from "./random.ts";

/** Lines that no head may have. */
const MALFORMED = ["Host: other\r\n", "X Y: z\r\n", ": z\r\n", "X: \0\r\n", " folded\r\n"];

/** The bytes of a request of HTTP/1. */
export function requestBytes(planned: Plan): Buffer {
  const { acceptsGzip, closes, expects, method, request, seed, version } = planned;
  const below = random(seed + 2);
  const { body, fields, framing, trailers } = request;
  const lines = [
    "Host: test\r\n",
    acceptsGzip ? "Accept-Encoding: gzip\r\n" : "",
    expects ? "Expect: 100-continue\r\n" : "",
    closes ? "Connection: close\r\n" : version === "1.0" ? "Connection: keep-alive\r\n" : "",
    framing === "none"
      ? ""
      : framing === "chunked"
        ? "Transfer-Encoding: chunked\r\n"
        : `Content-Length: ${body.length}\r\n`,
    linesOf(below, fields),
  ];
  if (planned.ending === "malformed") lines.push(oneOf(below, MALFORMED));
  const head = `${method} /${seed} HTTP/${version}\r\n${lines.join("")}\r\n`;
  const content = framing === "chunked" ? chunked(body, 1 + below(70_000), linesOf(below, trailers)) : body;
  return Buffer.concat([Buffer.from(head, "latin1"), content]);
}

/** The bytes of the response, with all heads before it. */
export function responseBytes(planned: Plan): Buffer {
  const { interim, method, originEncodes, response, seed, status } = planned;
  const below = random(seed + 5);
  const body = originBody(planned);
  const { fields, framing, trailers } = response;
  const lines = [
    `X-Seed: ${seed}\r\nContent-Type: text/plain\r\n`,
    originEncodes ? "Content-Encoding: gzip\r\n" : "",
    framing === "chunked" ? "Transfer-Encoding: chunked\r\n" : "",
    framing === "content-length" ? `Content-Length: ${body.length}\r\n` : "",
    linesOf(below, fields),
  ];
  const before = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(interim);
  const head = `${before}HTTP/1.1 ${status} Because\r\n${lines.join("")}\r\n`;
  const bodiless = framing === "none" || method === "HEAD";
  const content =
    framing === "chunked"
      ? chunked(body, chunkBytes(body, 1 + below(oneOf(below, [300, 70_000]))), linesOf(below, trailers))
      : body;
  return Buffer.concat([Buffer.from(head, "latin1"), bodiless ? Buffer.alloc(0) : content]);
}

export async function sendCut(wire: Wire, bytes: Buffer, below: Below): Promise<void> {
  for (const piece of cut(below, bytes)) {
    if (wire.closed) return;
    wire.send(piece);
    const pause = below(12);
    if (pause === 0) await delay(1);
    else if (pause < 6) await setImmediate();
  }
}

/** Lines with as much space as may be there. */
function linesOf(below: Below, fields: Fields): string {
  const spaces = [" ", " ", " ", "", "  ", "\t "];
  return fields
    .map(([name, value]) => `${name}:${oneOf(below, spaces)}${value}${oneOf(below, ["", "", " ", "\t"])}\r\n`)
    .join("");
}

/** Hooks wait for a millisecond with each chunk: of small ones a long body would have too many. */
function chunkBytes({ length }: Buffer, wanted: number): number {
  return Math.max(wanted, Math.ceil(length / 1000));
}
