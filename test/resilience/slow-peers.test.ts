import { createHash } from "node:crypto";
import { once } from "node:events";
import { request, type ClientRequest, type IncomingMessage } from "node:http";
import { expect, test } from "vitest";
import type { OriginCounts, ProxyCounts } from "./support/messages.ts";
import { patternHash, patternPieces } from "./support/pattern.ts";
import type { Program } from "./support/program.ts";
import { settled, until } from "./support/wait.ts";
import { openWay, type Way } from "./support/way.ts";

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;
const CLIENTS = 100;
/** Those that are served to the end. */
const LET_GO = 10;
/** The promise. */
const MAX_GROWTH = 64 * MIB;

const INDEXES = Array.from({ length: CLIENTS }, (_, index) => index);

test("100 clients that wait for 64 MiB each and do not read cost bounded memory, and lose nothing", async ({
  annotate,
}) => {
  await using way = await openWay();
  const { origin, proxy } = way;
  const before = proxy.memory;
  proxy.forgetPeak();

  const responses = await Promise.all(INDEXES.map((index) => startDownload(proxy.port, index)));
  const sent = await settled(async () => (await origin.call<OriginCounts>("counts")).sentBytes);
  const during = proxy.memory;
  await annotate(`${growth(before, during)}; ${toMib(sent)} MiB left the origin and wait in buffers`);
  expect(during.rss - before.rss).toBeLessThan(MAX_GROWTH);

  for (const response of responses.slice(LET_GO)) response.destroy();
  const hashes = await Promise.all(responses.slice(0, LET_GO).map(readHash));
  expect(hashes).toEqual(INDEXES.slice(0, LET_GO).map((index) => patternHash(`${index}`, SIZE)));
  await annotate(`after reading on: ${growth(before, proxy.memory)}`);
  await expectAllClosed(way);
}, 60_000);

test("100 clients that send 64 MiB each to an origin that does not read cost bounded memory, and lose nothing", async ({
  annotate,
}) => {
  await using way = await openWay();
  const { origin, proxy } = way;
  const before = proxy.memory;
  proxy.forgetPeak();

  const uploads = INDEXES.map((index) => new Upload(proxy.port, index));
  const sent = await settled(() => uploads.reduce((sum, { sentBytes }) => sum + sentBytes, 0));
  const during = proxy.memory;
  expect((await origin.call<OriginCounts>("counts")).held).toBe(CLIENTS);
  await annotate(`${growth(before, during)}; ${toMib(sent)} MiB left the clients and wait in buffers`);
  expect(during.rss - before.rss).toBeLessThan(MAX_GROWTH);

  for (const upload of uploads.slice(LET_GO)) upload.abort();
  // Those that left too: a connection that is not read tells of no end.
  for (const { key } of uploads) await origin.call("release", key);
  const answers = await Promise.all(uploads.slice(0, LET_GO).map((upload) => upload.answer));
  expect(answers).toEqual(
    INDEXES.slice(0, LET_GO).map((index) => ({ bytes: SIZE, hash: patternHash(`${index}`, SIZE) })),
  );
  await annotate(`after reading on: ${growth(before, proxy.memory)}`);
  await expectAllClosed(way);
}, 60_000);

/** The connections of all clients are gone, and those to the origin that cannot be used again. */
async function expectAllClosed({ origin, proxy }: Way): Promise<void> {
  await until(async () => (await proxy.call<ProxyCounts>("counts")).clients === 0);
  const { idle } = await proxy.call<ProxyCounts>("counts");
  await until(async () => (await origin.call<OriginCounts>("counts")).connections <= idle);
  expect(idle).toBeLessThanOrEqual(LET_GO);
}

/** Gets a response that is not read; half of them have Content-Length, half are chunked. */
async function startDownload(port: number, index: number): Promise<IncomingMessage> {
  const path = `/bytes?seed=${index}&size=${SIZE}&framing=${index % 2 === 0 ? "length" : "chunked"}`;
  const call = request({ port, agent: false, path }).end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  response.on("error", () => undefined);
  await once(response, "readable");
  return response;
}

async function readHash(response: IncomingMessage): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of response as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest("hex");
}

/** Sends as fast as it is taken; half of them with Content-Length, half chunked. */
class Upload {
  readonly key: string;
  readonly answer: Promise<unknown>;
  sentBytes = 0;
  readonly #call: ClientRequest;
  readonly #gone: Promise<void>;

  constructor(port: number, index: number) {
    this.key = `${index}`;
    const headers = index % 2 === 0 ? { "Content-Length": SIZE } : { "Transfer-Encoding": "chunked" };
    this.#call = request({ port, agent: false, method: "POST", path: `/held?key=${this.key}`, headers });
    this.#gone = new Promise((resolve) => this.#call.once("close", () => resolve()));
    this.#call.on("error", () => undefined);
    this.answer = this.#readAnswer();
    // One that is aborted gets none.
    this.answer.catch(() => undefined);
    void this.#send();
  }

  abort(): void {
    this.#call.destroy();
  }

  async #send(): Promise<void> {
    for (const piece of patternPieces(this.key, SIZE)) {
      const writable = this.#call.write(piece);
      this.sentBytes += piece.length;
      if (!writable) await Promise.race([new Promise((resolve) => this.#call.once("drain", resolve)), this.#gone]);
      if (this.#call.destroyed) return;
    }
    this.#call.end();
  }

  async #readAnswer(): Promise<unknown> {
    const [response] = (await once(this.#call, "response")) as [IncomingMessage];
    const chunks = (await response.toArray()) as Buffer[];
    return JSON.parse(Buffer.concat(chunks).toString());
  }
}

function growth(before: Program["memory"], now: Program["memory"]): string {
  const grown = toMib(now.rss - before.rss);
  return `RSS grew by ${grown} MiB from ${toMib(before.rss)}, at the peak by ${toMib(now.peak - before.rss)}`;
}

function toMib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}
