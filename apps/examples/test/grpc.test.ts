import { credentials, Metadata, status, type ChannelCredentials, type ServiceError } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { echoClient, startEchoServer, type EchoClient } from "../../../packages/proxy/test/grpc/grpc-service.ts";
import { Example } from "./support/example.ts";

const RULED = "/test.Echo/Unary";

function unary(client: EchoClient, fields: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) =>
    client.unary(Buffer.from("hello"), Metadata.fromHttp2Headers(fields), {}, (error, answer) =>
      error === null ? resolve(String(answer)) : reject(error),
    ),
  );
}

test.for([
  ["HTTP/2 by prior knowledge", 0, () => credentials.createInsecure()],
  ["TLS", 1, () => credentials.createSsl(null, null, null, { rejectUnauthorized: false })],
] as [string, number, () => ChannelCredentials][])(
  "by %s: calls pass, and the method with a rule asks for the token",
  async ([, listener, create]) => {
    await using upstream = await startEchoServer();
    await using example = await Example.start("grpc", "LISTEN", "LISTEN", upstream.address, RULED);
    const client = echoClient(example.addresses[listener]!, create(), { "grpc.ssl_target_name_override": "localhost" });
    try {
      expect(await unary(client, { authorization: "Bearer letmein" })).toBe("hello");
      const refused = (await unary(client, {}).catch((error: unknown) => error)) as ServiceError;
      expect([refused.code, refused.details]).toEqual([status.UNAUTHENTICATED, "who are you?"]);

      const call = client.both();
      call.write(Buffer.from("one"));
      call.end(Buffer.from("two"));
      expect(((await call.toArray()) as Buffer[]).map(String)).toEqual(["one", "two"]);
    } finally {
      client.close();
    }
    expect(await example.stop()).toBe(0);
  },
);

test("a browser's gRPC-Web, by HTTP/1.1", async () => {
  await using upstream = await startEchoServer();
  await using example = await Example.start("grpc", "LISTEN", "LISTEN", upstream.address, RULED);
  const call = (fields: Record<string, string>): Promise<Response> =>
    fetch(example.urls[0]! + RULED, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto", ...fields },
      body: Buffer.from("\0\0\0\0\u0005hello"),
    });
  const answer = await call({ authorization: "Bearer letmein" });
  const body = Buffer.from(await answer.arrayBuffer()).toString("latin1");
  expect(answer.headers.get("content-type")).toBe("application/grpc-web+proto");
  // The message in its frame, and the trailers in one of theirs.
  expect(body.slice(0, 11)).toBe("\0\0\0\0\u0005hello\u0080");
  expect(body).toMatch(/grpc-status: ?0\r\n/);

  const refused = await call({});
  expect([refused.status, refused.headers.get("grpc-status")]).toEqual([200, String(status.UNAUTHENTICATED)]);
});
