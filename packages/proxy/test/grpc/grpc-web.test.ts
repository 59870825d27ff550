import { grpcWeb } from "@sluice/core";
import { HttpPeer } from "@sluice/proxy";
import { expect, test } from "vitest";
import { TestProxy } from "../support/proxy.ts";
import { NOT_FOUND, startEchoServer, type EchoServer } from "./grpc-service.ts";

interface Line extends AsyncDisposable {
  readonly proxy: TestProxy<object>;
  readonly server: EchoServer;
}

async function open(): Promise<Line> {
  const server = await startEchoServer();
  const origin = new HttpPeer(server.address, { minHttpVersion: 2 });
  const initDownstreamModules = (modules: { add(builder: ReturnType<typeof grpcWeb>): unknown }): void =>
    void modules.add(grpcWeb());
  const proxy = await TestProxy.start({ origin, initDownstreamModules });
  return {
    proxy,
    server,
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** A message as gRPC frames it. */
function framed(message: string): Buffer {
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, Buffer.from(message)]);
}

interface Frame {
  readonly flag: number;
  readonly text: string;
}

function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    frames.push({ flag: bytes[at]!, text: bytes.toString("latin1", at + 5, end) });
    at = end;
  }
  return frames;
}

/** As a browser calls: by HTTP/1.1, and nothing but fetch. */
async function call(
  { proxy }: Line,
  method: string,
  message: Buffer,
  isText: boolean,
  fields: Record<string, string> = {},
): Promise<{ response: Response; frames: Frame[] }> {
  const type = `application/grpc-web${isText ? "-text" : ""}+proto`;
  const response = await fetch(`http://${proxy.address}/test.Echo/${method}`, {
    method: "POST",
    headers: { "content-type": type, ...fields },
    body: isText ? message.toString("base64") : new Uint8Array(message),
  });
  expect(response.headers.get("content-type")).toBe(response.status === 200 ? type : null);
  const body = Buffer.from(await response.arrayBuffer());
  // Each part was encoded by itself.
  const parts = body.toString("latin1").match(/[A-Za-z0-9+/]+={0,2}/g) ?? [];
  return {
    response,
    frames: framesOf(isText ? Buffer.concat(parts.map((part) => Buffer.from(part, "base64"))) : body),
  };
}

test.for([
  ["binary", false],
  ["text", true],
] as const)("%s: a unary call, its message and its status", async ([, isText]) => {
  await using line = await open();
  const { frames } = await call(line, "Unary", framed("hello"), isText);
  expect(frames[0]).toEqual({ flag: 0, text: "hello" });
  expect(frames[1]!.flag).toBe(0x80);
  expect(frames[1]!.text).toMatch(/^grpc-status:0\r\n/);
  expect(frames).toHaveLength(2);
});

test.for([
  ["binary", false],
  ["text", true],
] as const)("%s: a stream of answers", async ([, isText]) => {
  await using line = await open();
  const { frames } = await call(line, "ServerStream", framed("\u0014stream"), isText);
  expect(frames.map(({ flag }) => flag)).toEqual([...Array.from({ length: 20 }, () => 0), 0x80]);
});

test("an error that is a head alone has its status in the head", async () => {
  await using line = await open();
  const { response, frames } = await call(line, "Unary", framed("x"), false, { fail: String(NOT_FOUND) });
  expect([response.status, response.headers.get("grpc-status"), frames]).toEqual([200, String(NOT_FOUND), []]);
});

test("what is no base64 is answered with 400, and the line says why", async () => {
  await using line = await open();
  const response = await fetch(`http://${line.proxy.address}/test.Echo/Unary`, {
    method: "POST",
    headers: { "content-type": "application/grpc-web-text" },
    body: "****",
  });
  expect(response.status).toBe(400);
  await line.proxy.whenFinished();
  expect(line.proxy.errors.map(({ error }) => error)).toEqual([
    expect.stringContaining("holds a letter that base64 does not have"),
  ]);
});
