import { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import { expect, test } from "vitest";
import { HttpModules } from "../modules/http-modules.ts";
import type { HttpModuleContext } from "../modules/http-module-context.ts";
import { GrpcWeb, grpcWeb } from "./grpc-web.ts";

interface Bridged {
  readonly context: HttpModuleContext;
  readonly request: RequestHeader;
  readonly bridge: GrpcWeb;
}

function bridge(fields: Record<string, string>): Bridged {
  const request = RequestHeader.build("POST", "/a.Service/Method", { Host: "a.test", ...fields });
  const modules = new HttpModules();
  modules.add(grpcWeb());
  const context = modules.open(request);
  void context.requestHeader();
  return { context, request, bridge: context.get(GrpcWeb)! };
}

function answer(context: HttpModuleContext, fields: Record<string, string>, status = 200): ResponseHeader {
  const response = ResponseHeader.build(status, fields);
  void context.responseHeader(response, false);
  return response;
}

test.for<[type: string, upstream: string]>([
  ["application/grpc-web", "application/grpc"],
  ["application/grpc-web+proto", "application/grpc+proto"],
  ["application/gRPC-web+thrift", "application/grpc+thrift"],
  ["application/grpc-web-text", "application/grpc"],
  ["application/grpc-web-text+proto", "application/grpc+proto"],
  ["application/grpc-web; charset=utf-8", "application/grpc; charset=utf-8"],
])("%s goes up as %s, with te: trailers, ended by a frame of its own", ([type, upstream]) => {
  const { request, bridge: module } = bridge({ "Content-Type": type });
  expect([request.get("content-type"), request.get("te"), request.sendEndStream]).toEqual([
    upstream,
    "trailers",
    false,
  ]);
  expect(module.isActive).toBe(true);
});

test.for(["application/grpc-we", "application/grpc-webber", "application/grpc", "application/json"])(
  "%s is none of it: nothing changes, and bodies pass by",
  (type) => {
    const { context, request, bridge: module } = bridge({ "Content-Type": type });
    expect([request.get("content-type"), request.has("te"), request.sendEndStream]).toEqual([type, false, true]);
    const response = answer(context, { "Content-Type": "application/grpc" });
    expect(response.get("content-type")).toBe("application/grpc");
    expect([module.isActive, context.hasRequestBody, context.hasResponseBody]).toEqual([false, false, false]);
  },
);

test("an answer of gRPC goes down as gRPC-Web, without a length, its trailers as the last frame", async () => {
  const { context } = bridge({ "Content-Type": "application/grpc-web" });
  answer(context, {}, 103);
  const response = answer(context, { "Content-Type": "application/grpc+proto", "Content-Length": "0" });
  expect([response.get("content-type"), response.has("content-length")]).toEqual(["application/grpc-web+proto", false]);
  const trailers = HeaderFields.from({ "grpc-status": "0", "Grpc-Message": "OK" });
  const end = await context.responseEnd(trailers);
  expect(end.trailers).toBeUndefined();
  const text = "grpc-status:0\r\ngrpc-message:OK\r\n";
  expect(text).toHaveLength(0x20);
  expect(Buffer.from(end.body!)).toEqual(Buffer.concat([Buffer.from([0x80, 0, 0, 0, 0x20]), Buffer.from(text)]));
});

test("an answer that is not gRPC is left alone", async () => {
  const { context, bridge: module } = bridge({ "Content-Type": "application/grpc-web-text" });
  const response = answer(context, { "Content-Type": "text/html", "Content-Length": "10" }, 502);
  expect([response.get("content-type"), response.get("content-length")]).toEqual(["text/html", "10"]);
  expect([module.isActive, context.hasResponseBody]).toEqual([false, false]);
  const trailers = HeaderFields.from({ a: "1" });
  expect((await context.responseEnd(trailers)).trailers).toBe(trailers);
});

test("text goes up decoded and comes down encoded, its trailers too", async () => {
  const { context, request } = bridge({ "Content-Type": "application/grpc-web-text", "Content-Length": "8" });
  expect(request.has("content-length")).toBe(false);
  expect([...(await context.requestBody(Buffer.from("AAAAA")))]).toEqual([0, 0, 0]);
  expect([...(await context.requestBody(Buffer.from("AE=")))]).toEqual([0, 1]);
  await context.requestEnd(undefined);
  const response = answer(context, { "Content-Type": "application/grpc" });
  expect(response.get("content-type")).toBe("application/grpc-web-text");
  expect(String(await context.responseBody(Buffer.from([0, 1])))).toBe("AAE=");
  const { body } = await context.responseEnd(HeaderFields.from({ "grpc-status": "0" }));
  expect(Buffer.from(String(body), "base64")).toEqual(Buffer.from("\x80\0\0\0\x0fgrpc-status:0\r\n", "latin1"));
});

test("text that ends within a group fails the request", () => {
  const { context } = bridge({ "Content-Type": "application/grpc-web-text" });
  void context.requestBody(Buffer.from("AAAAA"));
  expect(() => context.requestEnd(undefined)).toThrow(expect.objectContaining({ status: 400 }));
});

test.for<[type: string, accept: string, wanted: string]>([
  ["application/grpc-web", "application/grpc-web-text", "application/grpc-web-text"],
  ["application/grpc-web-text", "application/grpc-web+proto, */*", "application/grpc-web"],
  ["application/grpc-web-text", "*/*", "application/grpc-web-text"],
])("sent as %s and accepting %s, it is answered as %s", ([type, accept, wanted]) => {
  const { context } = bridge({ "Content-Type": type, Accept: accept });
  expect(answer(context, { "Content-Type": "application/grpc" }).get("content-type")).toBe(wanted);
});
