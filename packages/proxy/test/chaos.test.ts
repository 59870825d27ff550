import { setImmediate, setTimeout as delay } from "node:timers/promises";
import type { ProxyHttp } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { random } from "../../../test/random/random.ts";
import { chunked, type Message } from "./support/message.ts";
import { Origin, type OriginConnection } from "./support/origin.ts";
import { startProxy, type TestProxy } from "./support/proxy.ts";
import { WireEnded, type Wire } from "./support/wire.ts";

const EXCHANGES_PER_CLIENT = 60;
const CLIENTS = 6;

type Framing = "content-length" | "chunked" | "until-close";
type Fault = "none" | "ends" | "resets" | "breaks its chunks" | "says too much";

/** One exchange, decided by its seed alone: the origin reads the seed from the target. */
interface Plan {
  readonly seed: number;
  readonly framing: Framing;
  readonly body: Buffer;
  readonly fault: Fault;
  readonly version: "1.0" | "1.1";
  readonly upload: Buffer | undefined;
  readonly uploadChunked: boolean;
}

function plan(seed: number): Plan {
  const below = random(seed);
  const framing = (["content-length", "chunked", "until-close"] as const)[below(3)]!;
  const size = [0, 1, 30, 5000, 70_000, 400_000][below(6)]!;
  const body = Buffer.alloc(size, `${seed}.${below(1000)};`);
  const faults: Fault[] = ["none", "none", "none", "ends", "resets", "breaks its chunks", "says too much"];
  let fault = faults[below(faults.length)]!;
  // That it ended too early cannot be seen there; that it said more, neither.
  if (framing === "until-close" && fault !== "resets") fault = "none";
  if (framing !== "chunked" && fault === "breaks its chunks") fault = "none";
  const version = below(5) === 0 ? "1.0" : "1.1";
  const upload = below(2) === 0 ? undefined : Buffer.alloc([1, 3000, 90_000][below(3)]!, `up${seed};`);
  return { seed, framing, body, fault, version, upload, uploadChunked: version === "1.1" && below(2) === 0 };
}

/** The response as the origin sends it, up to the point where it fails. */
function responseBytes({ framing, body, fault, seed }: Plan): Buffer {
  const fields = { chunked: "Transfer-Encoding: chunked\r\n", "content-length": `Content-Length: ${body.length}\r\n` };
  const head = `HTTP/1.1 200 OK\r\nX-Seed: ${seed}\r\n${framing === "until-close" ? "" : fields[framing]}\r\n`;
  const payload = framing === "chunked" ? chunked(body, 1 + (seed % 9000)) : body;
  const whole = Buffer.concat([Buffer.from(head), payload]);
  switch (fault) {
    case "none":
    case "says too much":
      return whole;
    case "ends":
    case "resets":
      return whole.subarray(0, random(seed + 1)(whole.length));
    case "breaks its chunks":
      return Buffer.concat([whole.subarray(0, -5), Buffer.from("xyz\r\n\r\n")]);
  }
}

const POISON = "HTTP/1.1 200 OK\r\nX-Seed: 0\r\nContent-Length: 6\r\n\r\npoison";

async function playOrigin(connection: OriginConnection): Promise<void> {
  for (;;) {
    const request = await connection.message();
    const planned = plan(Number(request.startLine.split("/")[1]!.split(" ")[0]));
    if (!request.body.equals(planned.upload ?? Buffer.alloc(0))) throw new Error(`upload ${planned.seed} differs`);
    const below = random(planned.seed + 2);
    const bytes = responseBytes(planned);
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + 1 + below(below(2) === 0 ? 40 : 30_000));
      at += piece.length;
      // In one packet with the end: what comes after the next request was sent cannot be told from its answer.
      const surplus = at === bytes.length && planned.fault === "says too much" ? POISON : "";
      await connection.sent(Buffer.concat([piece, Buffer.from(surplus)]));
      if (below(4) === 0) await delay(below(3));
    }
    if (planned.fault === "resets") connection.reset();
    else if (planned.fault === "ends" || planned.framing === "until-close") connection.end();
    else continue;
    return;
  }
}

/** What the client made of it: the message, if it is complete by its own account. */
async function exchange(client: Wire, planned: Plan): Promise<Message | undefined> {
  const { seed, upload, uploadChunked, version } = planned;
  const framing = uploadChunked ? "Transfer-Encoding: chunked" : `Content-Length: ${upload?.length ?? 0}`;
  const head = `${upload === undefined ? "GET" : "PUT"} /${seed} HTTP/${version}\r\nHost: test\r\n`;
  client.send(`${head}${upload === undefined ? "" : `${framing}\r\n`}\r\n`);
  if (upload !== undefined) client.send(uploadChunked ? chunked(upload, 1 + (seed % 7000)) : upload);
  try {
    return await client.message();
  } catch (error) {
    // Cut by FIN in the middle, or, where the end of the connection is the end of the body, by a reset.
    if (error instanceof WireEnded || /was cut/.test(String(error))) return undefined;
    throw error;
  }
}

function expectTrue(planned: Plan, answer: Message | undefined): void {
  const what = `${planned.seed}: ${planned.version}, ${planned.framing}, ${planned.body.length} bytes, ${planned.fault}`;
  if (planned.fault === "none" || planned.fault === "says too much") {
    expect(answer?.status, what).toBe(200);
  } else {
    // Cut before the head left, it is 502; later, it must show.
    expect(answer?.status ?? "cut", what).toBeOneOf([502, "cut"]);
  }
  if (answer?.status !== 200) return;
  expect(answer.field("x-seed"), what).toBe(String(planned.seed));
  expect(answer.body.equals(planned.body), what).toBe(true);
}

async function playClient(proxy: TestProxy<object>, first: number): Promise<void> {
  let client: Wire | undefined;
  for (let seed = first; seed < first + EXCHANGES_PER_CLIENT; seed++) {
    const planned = plan(seed);
    client ??= await proxy.connect();
    const answer = await exchange(client, planned);
    expectTrue(planned, answer);
    if (answer === undefined || answer.field("connection") === "close") {
      await client[Symbol.asyncDispose]();
      client = undefined;
    }
  }
}

const tick = (): Promise<void> => setImmediate();
const APPS: Record<string, Partial<ProxyHttp<object>>> = {
  "no filters": {},
  "filters that pass all on": {
    requestBodyFilter: (_session, piece) => piece,
    upstreamResponseBodyFilter: (_session, piece) => piece,
    responseBodyFilter: () => undefined,
  },
  "asynchronous filters": {
    requestFilter: tick,
    upstreamRequestFilter: tick,
    requestBodyFilter: tick,
    upstreamResponseFilter: tick,
    responseFilter: tick,
    logging: tick,
  },
};

describe.each(Object.keys(APPS))("with %s", (name) => {
  test.each([1, 1_000_000])(
    "whatever origins do, a response is whole or shows that it is not (seed %d)",
    async (seed) => {
      await using origin = await Origin.start(playOrigin);
      await using proxy = await startProxy({ origin, ...APPS[name] });
      await Promise.all(
        Array.from({ length: CLIENTS }, (_, index) => playClient(proxy, seed + index * EXCHANGES_PER_CLIENT)),
      );
      expect(proxy.begun).toBe(CLIENTS * EXCHANGES_PER_CLIENT);
      expect(origin.failures.filter((failure) => /differs/.test(String(failure)))).toEqual([]);
    },
  );
});
