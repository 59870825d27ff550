import { once } from "node:events";
import { expect, test } from "vitest";
import { HttpPeer } from "../../packages/proxy/src/index.ts";
import {
  callUnary,
  DEADLINE_EXCEEDED,
  NOT_FOUND,
  secureEchoClient,
  startSecureEchoServer,
  type EchoClient,
  type EchoServer,
} from "../../packages/proxy/test/grpc/grpc-service.ts";
import { TestProxy } from "../../packages/proxy/test/support/proxy.ts";
import { opensslTls } from "../../packages/tls-openssl/src/index.ts";
import { CERTIFICATE, TRUSTED } from "./legs.ts";

interface Line extends AsyncDisposable {
  readonly client: EchoClient;
  readonly server: EchoServer;
  readonly proxy: TestProxy<object>;
}

/** gRPC by TLS on both sides, where ALPN chooses HTTP/2. */
async function open(): Promise<Line> {
  const server = await startSecureEchoServer(CERTIFICATE);
  const origin = new HttpPeer(server.address, { tls: true, ca: TRUSTED, maxHttpVersion: 2 });
  const proxy = await TestProxy.start({ origin }, { tls: opensslTls() }, {}, (service) =>
    service.listenTls("127.0.0.1:0", { certificates: [CERTIFICATE] }),
  );
  const client = secureEchoClient(proxy.address, TRUSTED);
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

test("gRPC by TLS: answers, errors and deadlines, and a hundred calls on one connection", async () => {
  await using line = await open();
  const { client } = line;
  expect(String(await callUnary(client, Buffer.from("hello")))).toBe("hello");
  expect(await callUnary(client, Buffer.from("x"), { fail: `${NOT_FOUND}` })).toBe(NOT_FOUND);
  const deadline = new Date(Date.now() + 200);
  expect(await callUnary(client, Buffer.from("x"), { hang: "1" }, { deadline })).toBe(DEADLINE_EXCEEDED);
  const large = Buffer.alloc(4 * 1024 * 1024, "0123456789abcdef");
  expect(((await callUnary(client, large)) as Buffer).equals(large)).toBe(true);
  const calls = Array.from({ length: 100 }, (_, n) => callUnary(client, Buffer.from(`${n}`)));
  expect((await Promise.all(calls)).map(String)).toEqual(calls.map((_, n) => `${n}`));
  expect(line.proxy.service.connectionCount).toBe(1);
});

test("gRPC by TLS: streams both ways, and one that the client gives up", async () => {
  await using line = await open();
  const call = line.client.both();
  call.on("error", () => undefined);
  for (let n = 0; n < 20; n++) {
    const answered = once(call, "data") as Promise<[Buffer]>;
    call.write(Buffer.from(`${n}`));
    expect(String((await answered)[0])).toBe(`${n}`);
  }
  const cancelled = line.server.whenCancelled();
  call.cancel();
  await cancelled;
});
