import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import type { SecuredStream } from "@sluice/core";
import { ioUring, type IoUring } from "@sluice/linux";
import { opensslTls } from "@sluice/tls-openssl";
import { certificateAuthority, selfSignedCertificate } from "@sluice/tls-openssl/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { testWith } from "../../../test/programs.ts";
import { accepting, readStream, readToEnd, type Accepting } from "../src/testing/contract/accepting.ts";
import { NativeClient } from "./support/native-client.ts";

let transport: IoUring | undefined;
try {
  transport = ioUring();
} catch {
  // There is none on this machine.
}

const certificate = selfSignedCertificate({ names: ["a.test"] });

describe.skipIf(transport === undefined)("OpenSSL called on connections by io_uring", () => {
  const serve = (serveOne?: (connection: SecuredStream) => void, settings: object = {}): Promise<Accepting> =>
    accepting(opensslTls({ transport: transport! }), { certificates: [certificate], ...settings }, serveOne);

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "many connections at a time get each their own bytes, however records are cut, by %s",
    async (maxVersion) => {
      await using server = await serve(echoWithPauses);
      const port = await cutting(server.port);
      const clients = Array.from({ length: 40 }, async (_, index) => {
        const client = connect({
          host: "127.0.0.1",
          port: index % 2 ? port : server.port,
          rejectUnauthorized: false,
          maxVersion,
        });
        await once(client, "secureConnect");
        const pieces = Array.from({ length: 30 }, (_piece, at) => randomBytes(at % 7 === 0 ? 40_000 : 1 + at * 13));
        const back = readAll(client);
        for (const piece of pieces) if (!client.write(piece)) await once(client, "drain");
        client.end();
        return (await back).equals(Buffer.concat(pieces));
      });
      expect(await Promise.all(clients)).toEqual(clients.map(() => true));
    },
  );

  testWith(
    "openssl",
    "a client that changes its keys, and asks for ours to be changed, is answered on",
    async ({ openssl }) => {
      await using server = await serve();
      const child = spawn(openssl, ["s_client", "-connect", `127.0.0.1:${server.port}`, "-tls1_3"]);
      onTestFinished(() => void child.kill());
      let said = "";
      for (const output of [child.stdout, child.stderr]) output.on("data", (text: Buffer) => (said += text.toString()));
      const says = (text: string): Promise<unknown> => expect.poll(() => said, { timeout: 10_000 }).toContain(text);
      await says("Verify return code");
      for (const word of ["one", "two", "three"]) {
        child.stdin.write(`${word}\n`);
        await says(`\n${word}\n`);
        said = "";
        child.stdin.write("K\n");
        await says("KEYUPDATE");
      }
      child.stdin.write("Q\n");
      expect(await once(child, "exit")).toEqual([0, null]);
    },
  );

  test("a client that is refused and goes on sending reads why, and of no reset", async () => {
    await using server = await serve();
    const client = await server.plainClient();
    const errors: Error[] = [];
    client.on("error", (error) => errors.push(error));
    const said = textOf(client);
    client.write("GET / HTTP/1.1\r\n\r\n");
    await server.failed();
    // Our direction is ended by now, and the connection open: it takes what comes.
    expect(await said).toMatch(/^HTTP\/1\.1 400 /);
    for (let n = 0; n < 10; n++) await new Promise<void>((resolve) => void client.write("more", () => resolve()));
    client.end();
    await once(client, "close");
    expect(errors).toEqual([]);
  });

  test("an end that comes together with the handshake's is told to who comes then", async () => {
    for (let round = 0; round < 20; round++) {
      await using server = await serve(() => undefined);
      const client = connect({ host: "127.0.0.1", port: server.port, rejectUnauthorized: false });
      client.on("error", () => undefined);
      client.end("all");
      const { stream } = await server.secured();
      const { bytes, error } = await readToEnd(stream);
      expect([String(bytes), error, stream.truncated]).toEqual(["all", undefined, false]);
      stream.end();
    }
  });

  test("a certificate is chosen while others go on, and their clients' bytes are not mixed up", async () => {
    const ca = certificateAuthority();
    const issued = ca.issue({ names: ["slow.test"] });
    const waiting: (() => void)[] = [];
    const resolveCertificate = async (name: string | undefined): Promise<typeof issued> => {
      if (name === "slow.test") await new Promise<void>((resolve) => waiting.push(resolve));
      return issued;
    };
    await using server = await serve(undefined, { resolveCertificate });
    const slow = Array.from({ length: 5 }, () =>
      server.client({ servername: "slow.test", ca: ca.cert, rejectUnauthorized: true }),
    );
    await expect.poll(() => waiting.length).toBe(5);
    for (let round = 0; round < 5; round++) {
      const client = await server.client({ servername: "a.test" });
      client.write(`round ${round}`);
      expect(String((await once(client, "data"))[0])).toBe(`round ${round}`);
      client.destroy();
    }
    for (const goOn of waiting) goOn();
    for (const [index, client] of (await Promise.all(slow)).entries()) {
      client.write(`slow ${index}`);
      expect(String((await once(client, "data"))[0])).toBe(`slow ${index}`);
    }
  });

  test("bytes that are no record, behind the handshake, end the connection with an error, and no other", async () => {
    const errors: Error[] = [];
    await using server = await serve((connection) => {
      connection.stream.on("error", (error) => errors.push(error));
      echoWithPauses(connection);
    });
    const other = await server.client();
    const below = connectTcp({ host: "127.0.0.1", port: server.port });
    const client = connect({ socket: below, rejectUnauthorized: false });
    client.on("error", () => undefined);
    await once(client, "secureConnect");
    const { stream } = (await server.secured(), await server.secured());
    const closed = new Promise<void>((resolve) => void stream.on("close", resolve));
    below.write(Buffer.alloc(50, 0x17));
    await closed;
    expect(errors.map(({ message }) => message)).toEqual([expect.stringMatching(/TLS with a client: /)]);
    other.write("fine");
    expect(String((await once(other, "data"))[0])).toBe("fine");
  });

  test("a client that has keys changed on and on, and reads none of the answers, is cut off", async () => {
    await using server = await serve();
    using client = new NativeClient(transport!.native, server.port);
    await client.shakeHands();
    const { stream } = await server.secured();
    const errors: Error[] = [];
    stream.on("error", (error) => errors.push(error));
    const closed = new Promise<void>((resolve) => void stream.on("close", resolve));
    client.socket.pause();
    let most = 0;
    // More than the system keeps for a connection.
    for (let round = 0; !stream.destroyed && round < 400; round++) {
      await new Promise<unknown>((resolve) => void client.socket.write(client.keyUpdates(1000), resolve));
      most = Math.max(most, stream.writableLength);
    }
    await closed;
    expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining("does not read them")]);
    expect(most).toBeLessThan(200_000);
  });

  testWith(
    "openssl",
    "a client that has to send its first message twice has its certificate chosen once",
    async ({ openssl }) => {
      const asked: unknown[] = [];
      const resolveCertificate = (name: string | undefined): undefined => void asked.push(name);
      await using server = await serve(undefined, { resolveCertificate });
      // Its key is for a group that the server does not have.
      const groups = ["-tls1_3", "-groups", "ffdhe2048:P-256"];
      const to = ["-connect", `127.0.0.1:${server.port}`, "-servername", "b.test"];
      const child = spawn(openssl, ["s_client", ...to, ...groups], { stdio: "pipe" });
      onTestFinished(() => void child.kill());
      const { digest } = await server.secured();
      expect([digest.serverName, asked]).toEqual(["b.test", ["b.test"]]);
    },
  );

  test("a client that is gone behind its end is noticed, though nobody read when that came", async () => {
    let pauses = (): void => undefined;
    const paused = new Promise<void>((resolve) => (pauses = resolve));
    await using server = await serve(({ stream }) =>
      readStream(stream, () => {
        stream.pause();
        pauses();
      }),
    );
    using client = new NativeClient(transport!.native, server.port);
    await client.shakeHands();
    const { stream } = await server.secured();
    client.socket.write(client.lastWords("x"));
    await paused;
    // The system has ended reading by then.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    const ended = new Promise<void>((resolve) => void stream.on("end", resolve));
    const closed = new Promise<void>((resolve) => void stream.on("close", resolve));
    stream.resume();
    await ended;
    client.socket.resetAndDestroy();
    await closed;
    expect(stream.truncated).toBe(false);
  });

  test("what OpenSSL calls of ours is as much for many listeners as for one", async () => {
    let callbacks = 0;
    const { native } = transport!;
    const counting = {
      adopt: transport!.adopt.bind(transport),
      native: {
        ...native,
        callback: (...given: Parameters<typeof native.callback>) => (callbacks++, native.callback(...given)),
      },
    };
    const provider = opensslTls({ transport: counting, keyLogFile: false });
    const open = async (): Promise<void> =>
      (await provider.listen({ certificates: [certificate], alpn: ["h2"] })).close();
    await open();
    const forOne = callbacks;
    for (let i = 0; i < 3; i++) await open();
    expect([callbacks, forOne > 0]).toEqual([forOne, true]);
  });
});

function echoWithPauses({ stream }: SecuredStream): void {
  stream.on("error", () => undefined);
  stream.on("end", () => void stream.end());
  let reads = 0;
  readStream(stream, (chunk) => {
    if (!stream.write(chunk) || ++reads % 5 === 0) {
      stream.pause();
      setImmediate(() => stream.resume());
    }
  });
}

/** A port from which bytes go on to `port` in small pieces. */
async function cutting(port: number): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (from) => {
    const to = connectTcp({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    sockets.push(from, to);
    for (const socket of [from, to]) socket.on("error", () => undefined);
    to.pipe(from);
    from.on("data", (bytes: Buffer) => {
      for (let at = 0; at < bytes.length; at += 1 + (at % 777)) to.write(bytes.subarray(at, at + 1 + (at % 777)));
    });
    from.on("end", () => to.end());
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function readAll(client: TLSSocket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  client.on("data", (piece: Buffer) => pieces.push(piece));
  await once(client, "end");
  return Buffer.concat(pieces);
}

/** What comes until the other side ends. */
async function textOf(client: Socket): Promise<string> {
  let text = "";
  client.on("data", (piece: Buffer) => (text += piece.toString("latin1")));
  await once(client, "end");
  return text;
}
