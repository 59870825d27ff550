import { once } from "node:events";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { HttpPeer } from "@sluice/proxy";
import { expect, test } from "vitest";
import { TestProxy } from "../support/proxy.ts";
import {
  CANCELLED,
  DEADLINE_EXCEEDED,
  echoClient,
  NOT_FOUND,
  startEchoServer,
  UNAVAILABLE,
  type EchoClient,
  type EchoServer,
} from "./grpc-service.ts";

interface Line extends AsyncDisposable {
  readonly client: EchoClient;
  readonly server: EchoServer;
  readonly proxy: TestProxy<object>;
}

async function open(): Promise<Line> {
  const server = await startEchoServer();
  const origin = new HttpPeer(server.address, { minHttpVersion: 2 });
  const proxy = await TestProxy.start({ origin }, { http2: { h2c: true } });
  const client = echoClient(proxy.address, credentials.createInsecure());
  return {
    client,
    server,
    proxy,
    [Symbol.asyncDispose]: async () => {
      client.close();
      await proxy[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

interface Answer {
  readonly error: ServiceError | null;
  readonly message: Buffer | undefined;
  /** What came behind the answer. */
  readonly trailers: Metadata;
}

/** A unary call, to its status, which comes last. */
function ask(
  client: EchoClient,
  message: Buffer,
  fields: Record<string, string> = {},
  options: { deadline?: Date; cancelWhen?: Promise<void> } = {},
): Promise<Answer> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
  return new Promise((resolve) => {
    const { cancelWhen, ...rest } = options;
    let answer: { error: ServiceError | null; message: Buffer | undefined } | undefined;
    let trailers: Metadata | undefined;
    const look = (): void => {
      if (answer !== undefined && trailers !== undefined) resolve({ ...answer, trailers });
    };
    const call = client.unary(message, metadata, rest, (error, given) => {
      answer = { error, message: given };
      look();
    });
    call.on("status", (status) => {
      trailers = status.metadata;
      look();
    });
    void cancelWhen?.then(() => call.cancel());
  });
}

test("a unary call: the message and the status behind it", async () => {
  await using line = await open();
  const { error, message } = await ask(line.client, Buffer.from("hello"));
  expect([error, String(message)]).toEqual([null, "hello"]);
  expect((await line.proxy.whenFinished()).error).toBeUndefined();
});

test("messages of 4 MB pass both ways", async () => {
  await using line = await open();
  const sent = Buffer.alloc(4_000_000, "0123456789");
  const { error, message } = await ask(line.client, sent);
  expect(error).toBeNull();
  expect(message!.equals(sent)).toBe(true);
});

test("a stream of answers arrives in order", async () => {
  await using line = await open();
  const received: number[] = [];
  const call = line.client.serverStream(Buffer.from([200, 1]));
  call.on("data", (message: Buffer) => received.push(message.length));
  await once(call, "end");
  expect(received).toEqual(Array.from({ length: 200 }, () => 2));
});

test("a stream of messages arrives whole", async () => {
  await using line = await open();
  const answer = new Promise<Buffer | undefined>((resolve, reject) => {
    const call = line.client.clientStream((error, given) => (error === null ? resolve(given) : reject(error)));
    for (let n = 0; n < 300; n++) call.write(Buffer.alloc(1000));
    call.end();
  });
  expect(String(await answer)).toBe("300000 in 300");
});

test("with streams both ways each message is answered before the next is sent", async () => {
  await using line = await open();
  const call = line.client.both();
  for (let n = 0; n < 50; n++) {
    call.write(Buffer.from(`message ${n}`));
    const [answer] = (await once(call, "data")) as [Buffer];
    expect(String(answer)).toBe(`message ${n}`);
  }
  call.end();
  call.resume();
  await once(call, "end");
});

test("an error without a message, a head and nothing else, keeps its status", async () => {
  await using line = await open();
  const { error } = await ask(line.client, Buffer.from("x"), { fail: String(NOT_FOUND) });
  expect([error?.code, error?.details]).toEqual([NOT_FOUND, "as asked"]);
});

test("a deadline that passes ends the call at the server, too", async () => {
  await using line = await open();
  const cancelled = line.server.whenCancelled();
  const { error } = await ask(line.client, Buffer.from("x"), { hang: "1" }, { deadline: new Date(Date.now() + 300) });
  expect(error?.code).toBe(DEADLINE_EXCEEDED);
  await cancelled;
});

test("a call that the client gives up ends at the server", async () => {
  await using line = await open();
  const cancelled = line.server.whenCancelled();
  const reached = Promise.withResolvers<void>();
  const call = ask(line.client, Buffer.from("x"), { hang: "1" }, { cancelWhen: reached.promise });
  while (line.server.open === 0) await new Promise((resolve) => setImmediate(resolve));
  reached.resolve();
  expect((await call).error?.code).toBe(CANCELLED);
  await cancelled;
  const { error } = await line.proxy.whenFinished();
  expect(error?.source).toBe("downstream");
});

test("a hundred calls at a time share one connection on each side", async () => {
  await using line = await open();
  const accepted = line.proxy.service.connectionCount;
  const calls = Array.from({ length: 100 }, () => line.client.both());
  const answers = calls.map((call) => once(call, "data"));
  for (const [n, call] of calls.entries()) call.write(Buffer.from(`call ${n}`));
  const texts = (await Promise.all(answers)).map(([message]) => String(message));
  expect(texts).toEqual(calls.map((_, n) => `call ${n}`));
  expect([accepted, line.proxy.service.connectionCount, line.server.open]).toEqual([0, 1, 100]);
  for (const call of calls) {
    call.end();
    call.resume();
  }
  await Promise.all(calls.map((call) => once(call, "end")));
});

test("a server that cannot be reached is UNAVAILABLE to the client", async () => {
  await using line = await open();
  await line.server[Symbol.asyncDispose]();
  const { error } = await ask(line.client, Buffer.from("x"));
  expect(error?.code).toBe(UNAVAILABLE);
});

test("the server sees te: trailers, and the client's deadline", async () => {
  const heads: Record<string, unknown>[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer()
    .on("session", (session) => sessions.add(session))
    .on("stream", (stream: ServerHttp2Stream, headers) => {
      heads.push(headers);
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "0" }, { endStream: true });
    });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = new HttpPeer(`127.0.0.1:${(server.address() as AddressInfo).port}`, { minHttpVersion: 2 });
  await using proxy = await TestProxy.start({ origin }, { http2: { h2c: true } });
  const client = echoClient(proxy.address, credentials.createInsecure());
  await ask(client, Buffer.from("x"), {}, { deadline: new Date(Date.now() + 20_000) });
  expect(heads).toEqual([
    expect.objectContaining({ te: "trailers", "content-type": "application/grpc", "grpc-timeout": expect.any(String) }),
  ]);
  client.close();
  for (const session of sessions) session.destroy();
  server.close();
});
