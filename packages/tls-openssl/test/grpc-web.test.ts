import { once } from "node:events";
import { connect } from "node:http2";
import { request } from "node:https";
import { grpcWeb } from "@sluice/core";
import { selfSignedCertificate } from "@sluice/tls-openssl";
import { expect, test } from "vitest";
import { startEchoServer } from "../../proxy/test/grpc/grpc-service.ts";
import { TlsProxy } from "./support/proxy.ts";

const certificate = selfSignedCertificate({ names: ["a.test"] });

/** A message as gRPC frames it, of `hello`. */
const MESSAGE = "\0\0\0\0\u0005hello";

/** What a page of a browser sees of its call, whichever version of HTTP the browser has agreed on. */
type Call = (port: number, type: string, body: Buffer) => Promise<{ type: unknown; body: Buffer }>;

const byHttp1: Call = async (port, type, body) => {
  const call = request({
    host: "127.0.0.1",
    port,
    servername: "a.test",
    ca: certificate.cert,
    method: "POST",
    path: "/test.Echo/Unary",
    headers: { "content-type": type },
  }).end(body);
  const [response] = (await once(call, "response")) as [NodeJS.ReadableStream & { headers: Record<string, unknown> }];
  return { type: response.headers["content-type"], body: await bytesOf(response) };
};

const byHttp2: Call = async (port, type, body) => {
  const session = connect(`https://127.0.0.1:${port}`, { servername: "a.test", ca: certificate.cert });
  try {
    const fields = { ":method": "POST", ":path": "/test.Echo/Unary", "content-type": type };
    const stream = session.request(fields).end(body);
    const [head] = (await once(stream, "response")) as [Record<string, unknown>];
    return { type: head["content-type"], body: await bytesOf(stream) };
  } finally {
    session.close();
  }
};

async function bytesOf(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Each part of a text was encoded by itself. */
function decoded(text: string): string {
  return (text.match(/[A-Za-z0-9+/]+={0,2}/g) ?? [])
    .map((part) => Buffer.from(part, "base64").toString("latin1"))
    .join("");
}

test.for([
  ["HTTP/1.1", "binary", byHttp1],
  ["HTTP/1.1", "text", byHttp1],
  ["HTTP/2", "binary", byHttp2],
  ["HTTP/2", "text", byHttp2],
] as const)("gRPC-Web by TLS, %s, %s: message and status", async ([, kind, call]) => {
  await using echo = await startEchoServer();
  await using proxy = await TlsProxy.start({
    origin: echo.address,
    peer: { minHttpVersion: 2 },
    listen: { certificates: [certificate] },
    app: { initDownstreamModules: (modules) => void modules.add(grpcWeb()) },
  });
  const type = `application/grpc-web${kind === "text" ? "-text" : ""}+proto`;
  const sent = Buffer.from(kind === "text" ? Buffer.from(MESSAGE).toString("base64") : MESSAGE);
  const answer = await call(proxy.port, type, sent);
  expect(answer.type).toBe(type);
  const text = answer.body.toString("latin1");
  const frames = kind === "text" ? decoded(text) : text;
  // The message, and the trailers in a frame of their own.
  expect(frames.slice(0, MESSAGE.length + 1)).toBe(`${MESSAGE}\u0080`);
  expect(frames.slice(MESSAGE.length + 5)).toMatch(/^grpc-status: ?0\r\n/);
});
