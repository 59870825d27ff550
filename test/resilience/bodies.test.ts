import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent, request, type IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { patternHash, patternPieces } from "./support/pattern.ts";
import { openWay } from "./support/way.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZES = [0, 1, 1023, 64 * KIB, MIB, 64 * MIB];

// One proxy for all: what a body leaves behind would harm the next.
const programs = new AsyncDisposableStack();
const agent = new Agent({ keepAlive: true, maxSockets: 100 });
let port: number;

beforeAll(async () => {
  programs.adopt(agent, (own) => own.destroy());
  ({ port } = programs.use(await openWay()).proxy);
});

afterAll(() => programs.disposeAsync());

describe.each(["length", "chunked"] as const)("bodies with framing %s", (framing) => {
  test.each(SIZES)("%i bytes come down as they were sent", async (size) => {
    expect(await download(size, framing)).toEqual({ bytes: size, hash: patternHash("down0", size) });
  });

  test.each(SIZES)("%i bytes go up as they were sent", async (size) => {
    expect(await upload(size, framing)).toEqual({ bytes: size, hash: patternHash("up0", size) });
  });

  test("100 at a time come down as they were sent, each its own", async () => {
    const indexes = Array.from({ length: 100 }, (_, index) => index);
    const results = await Promise.all(indexes.map((index) => download(256 * KIB + index, framing, index)));
    expect(results).toEqual(indexes.map((index) => expected("down", index)));
  });

  test("100 at a time go up as they were sent, each its own", async () => {
    const indexes = Array.from({ length: 100 }, (_, index) => index);
    const results = await Promise.all(indexes.map((index) => upload(256 * KIB + index, framing, index)));
    expect(results).toEqual(indexes.map((index) => expected("up", index)));
  });
});

type BodyFraming = "length" | "chunked";

interface Received {
  readonly bytes: number;
  readonly hash: string;
}

function expected(direction: string, index: number): Received {
  const bytes = 256 * KIB + index;
  return { bytes, hash: patternHash(`${direction}${index}`, bytes) };
}

async function download(size: number, framing: BodyFraming, index = 0): Promise<Received> {
  const call = request({ port, agent, path: `/bytes?seed=down${index}&size=${size}&framing=${framing}` }).end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  expect(response.statusCode).toBe(200);
  expect(response.headers["content-length"]).toBe(framing === "length" ? String(size) : undefined);
  return receive(response);
}

async function upload(size: number, framing: BodyFraming, index = 0): Promise<Received> {
  const headers = framing === "length" ? { "Content-Length": size } : { "Transfer-Encoding": "chunked" };
  const call = request({ port, agent, method: "POST", path: "/hash", headers });
  const answered = once(call, "response") as Promise<[IncomingMessage]>;
  const [[response]] = await Promise.all([answered, pipeline(Readable.from(patternPieces(`up${index}`, size)), call)]);
  expect(response.statusCode).toBe(200);
  const chunks = (await response.toArray()) as Buffer[];
  return JSON.parse(Buffer.concat(chunks).toString()) as Received;
}

async function receive(response: IncomingMessage): Promise<Received> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, hash: hash.digest("hex") };
}
