import { randomBytes } from "node:crypto";
import { connect } from "node:tls";
import type { ByteStream, PeerOptions, SecuredStream, TlsProvider } from "@sluice/core";
import { describe, expect, test } from "vitest";
import { selfSignedCertificate } from "../../certificates/make-certificate.ts";
import { accepting, readStream, readToEnd, type Accepting } from "./accepting.ts";
import { connecting } from "./connecting.ts";

/** What every `ByteStream` does, by a provider on both ends. */
export function streamsContract(create: () => TlsProvider): void {
  const certificate = selfSignedCertificate({ names: ["a.test"] });
  const trusting: PeerOptions = { sni: "a.test", ca: certificate.cert };

  /** Two ends of a connection. */
  async function pair(): Promise<{ near: ByteStream; far: ByteStream } & AsyncDisposable> {
    const provider = create();
    const server: Accepting = await accepting(provider, { certificates: [certificate] }, ignoreErrors);
    const { stream: near } = await connecting(provider, `127.0.0.1:${server.port}`, trusting);
    const { stream: far } = await server.secured();
    return {
      near,
      far,
      async [Symbol.asyncDispose]() {
        near.destroy();
        far.destroy();
        await server[Symbol.asyncDispose]();
      },
    };
  }

  describe("a stream", () => {
    test("carries text and bytes that were held back, in order", async () => {
      await using both = await pair();
      const { near, far } = both;
      const read = readToEnd(far);
      near.cork();
      near.write("grüße ", "latin1");
      near.write(Buffer.from("and bytes"));
      near.uncork();
      near.end();
      expect((await read).bytes).toEqual(Buffer.from("grüße and bytes", "latin1"));
    });

    test("whoever wrote what was held when it was destroyed hears that it did not leave", async () => {
      for (const uncorks of [true, false]) {
        await using both = await pair();
        const told = new Promise<unknown>((resolve) => {
          both.far.cork();
          both.far.write(Buffer.from("held"), resolve);
        });
        both.far.destroy();
        if (uncorks) both.far.uncork();
        expect(await told).toBeInstanceOf(Error);
      }
    });

    test("asks to wait for drain also where it holds back, and then it drains", async () => {
      await using both = await pair();
      const { near, far } = both;
      const read = readToEnd(near);
      // By itself, so that the system takes it within the call.
      await new Promise((resolve) => setImmediate(resolve));
      far.cork();
      expect(far.write(Buffer.alloc(66_000))).toBe(false);
      const drained = new Promise<void>((resolve) => void far.on("drain", resolve));
      far.uncork();
      await drained;
      far.end();
      expect((await read).bytes.length).toBe(66_000);
    });

    test("reads no more from memory that it does not count as lent", async () => {
      await using both = await pair();
      const { near, far } = both;
      const read = readToEnd(far);
      const expected: Buffer[] = [];
      for (let round = 0; round < 40; round++) {
        const pieces = Array.from({ length: 1 + (round % 3) }, (_, at) => Buffer.alloc(30_000, round * 4 + at));
        expected.push(...pieces.map((piece) => Buffer.from(piece)));
        if (round % 2 === 0) near.cork();
        for (const piece of pieces) near.write(piece);
        if (round % 2 === 0) near.uncork();
        if ((near.lentLength ?? near.writableLength) === 0) for (const piece of pieces) piece.fill(255);
        // Some are written behind what is still under way.
        if (round % 4 === 3) await new Promise((resolve) => setImmediate(resolve));
      }
      near.end();
      expect((await read).bytes.equals(Buffer.concat(expected))).toBe(true);
    });

    test.each(["near", "far"] as const)("carries much from its %s end, at the pace of the other", async (from) => {
      await using both = await pair();
      const [writer, reader] = from === "near" ? [both.near, both.far] : [both.far, both.near];
      const sent = randomBytes(8_388_608);
      let congested = false;
      let paused = 0;
      const chunks: Buffer[] = [];
      const ended = new Promise<void>((resolve) => void reader.on("end", resolve));
      readStream(reader, (chunk) => {
        chunks.push(chunk);
        if (chunks.length % 50 !== 0) return;
        paused++;
        reader.pause();
        setImmediate(() => reader.resume());
      });
      for (let at = 0; at < sent.length; at += 65_536) {
        if (writer.write(sent.subarray(at, at + 65_536))) continue;
        congested = true;
        await new Promise<void>((resolve) => onceOf(writer, "drain", resolve));
      }
      writer.end();
      await ended;
      expect(Buffer.concat(chunks).equals(sent)).toBe(true);
      expect(congested).toBe(true);
      expect(paused).toBeGreaterThan(2);
    });

    test("counts what it carries", async () => {
      await using both = await pair();
      const { near, far } = both;
      near.write(Buffer.alloc(1000));
      near.end();
      const { bytes } = await readToEnd(far);
      expect(bytes).toHaveLength(1000);
      expect(far.bytesRead).toBeGreaterThanOrEqual(1000);
      expect(near.bytesWritten).toBeGreaterThanOrEqual(1000);
    });

    test.each(["near", "far"] as const)(
      "goes on in the other direction when its %s end has ended its own",
      async (from) => {
        await using both = await pair();
        const [first, second] = from === "near" ? [both.near, both.far] : [both.far, both.near];
        const read = readToEnd(first);
        const ended = readToEnd(second);
        first.end();
        expect(await ended).toEqual({ bytes: Buffer.alloc(0), error: undefined });
        expect(second.truncated).not.toBe(true);
        second.write(Buffer.from("still"));
        second.write(Buffer.from(" here"));
        second.end();
        expect(String((await read).bytes)).toBe("still here");
        expect(first.truncated).not.toBe(true);
      },
    );

    test.each(["near", "far"] as const)("does not look ended when its %s end was destroyed", async (from) => {
      await using both = await pair();
      const [first, second] = from === "near" ? [both.near, both.far] : [both.far, both.near];
      const read = readToEnd(second);
      first.write(Buffer.from("some"));
      await new Promise<void>((resolve) => setImmediate(resolve));
      first.destroy();
      const { error } = await read;
      // By an error, or by an end that TLS did not tell.
      expect(error !== undefined || second.truncated === true).toBe(true);
    });

    test("does not look ended when the connection below ends", async () => {
      const provider = create();
      await using server = await accepting(provider, { certificates: [certificate] }, ignoreErrors);
      const below = await server.plainClient();
      const client = connect({ socket: below, rejectUnauthorized: false });
      client.on("error", () => undefined);
      const { stream } = await server.secured();
      const read = readToEnd(stream);
      await new Promise<void>((resolve) => void client.write("some", () => resolve()));
      // A FIN of TCP, which somebody in between could send.
      below.end();
      expect(String((await read).bytes)).toBe("some");
      expect(stream.truncated).toBe(true);
    });

    test("an end that was told is none that was cut, also if the reader had paused", async () => {
      await using both = await pair();
      const { near, far } = both;
      const chunks: Buffer[] = [];
      const ended = new Promise<void>((resolve) => void far.on("end", resolve));
      readStream(far, (chunk) => {
        chunks.push(chunk);
        far.pause();
        setImmediate(() => far.resume());
      });
      near.cork();
      for (let n = 0; n < 4; n++) near.write(Buffer.alloc(16_384, 0x61));
      near.uncork();
      near.end();
      await ended;
      expect(Buffer.concat(chunks)).toHaveLength(65_536);
      expect(far.truncated).not.toBe(true);
    });
  });
}

function ignoreErrors({ stream }: SecuredStream): void {
  stream.on("error", () => undefined);
}

function onceOf(stream: ByteStream, event: "drain", then: () => void): void {
  (stream as unknown as NodeJS.EventEmitter).once(event, then);
}
