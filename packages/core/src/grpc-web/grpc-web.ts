import { Buffer } from "node:buffer";
import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import type { HttpModule, HttpModuleBuilder } from "../modules/http-module.ts";
import { Base64Reader } from "./base64-stream.ts";
import { grpcSuffix, grpcWebType } from "./grpc-web-type.ts";

/** Marks the frame that holds the trailers. */
const TRAILERS_FLAG = 0x80;
/** Before compression, whose work would be lost on what browsers wait for piece by piece. */
const ORDER = 16_384;

/**
 * Makes the module that lets browsers speak to gRPC servers: what comes as gRPC-Web, binary or text, goes up as gRPC, and what the
 * server answers goes down as gRPC-Web, its trailers as the last frame of the body. The upstream must speak HTTP/2
 * (`minHttpVersion: 2`). Requests of other types are not touched.
 *
 * A page of another origin needs CORS besides, which is the app's: answer `OPTIONS` in `requestFilter`, and set
 * `Access-Control-Expose-Headers: grpc-status, grpc-message` in `responseFilter`.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
 */
export function grpcWeb(): HttpModuleBuilder<GrpcWeb> {
  return { type: GrpcWeb, order: ORDER, init: () => new GrpcWeb() };
}

/**
 * - `idle`: no request of gRPC-Web has come
 * - `request`: one has → `idle` (the answer is none of gRPC), `response`
 * - `response`: its answer goes down → `done`
 * - `done`: its trailers were written
 */
type State = "idle" | "request" | "response" | "done";

/** The bridge of one request. */
export class GrpcWeb implements HttpModule {
  /** There only while it has something to do, so that bodies of other requests pass by. */
  requestBody?: (piece: Uint8Array | undefined, end: boolean) => Uint8Array | undefined;
  responseBody?: (piece: Uint8Array | undefined, end: boolean) => Uint8Array | undefined;
  #state: State = "idle";
  #textResponse = false;

  /** The request came as gRPC-Web. */
  get isActive(): boolean {
    return this.#state !== "idle";
  }

  get ignoresResponseBody(): boolean {
    return this.#state !== "response";
  }

  requestHeader(request: RequestHeader): void {
    const type = grpcWebType(request.get("content-type"));
    if (type === undefined) return;
    this.#state = "request";
    // Who sends text may not be able to read anything else; who sends binary may say so.
    this.#textResponse = acceptsText(request.get("accept")) ?? type.isText;
    request.set("Content-Type", `application/grpc${type.suffix}`);
    request.set("TE", "trailers");
    // gRPC ends a request by an empty DATA frame, also one whose messages are none.
    request.sendEndStream = false;
    if (!type.isText) return;
    request.remove("content-length");
    const reader = new Base64Reader();
    this.requestBody = (piece, end) => {
      if (end) reader.end();
      return piece === undefined ? undefined : reader.read(piece);
    };
  }

  responseHeader(response: ResponseHeader): void {
    if (this.#state !== "request" || response.status < 200) return;
    const suffix = grpcSuffix(response.get("content-type"));
    if (suffix === undefined) {
      // An error page, not a word of gRPC.
      this.#state = "idle";
      return;
    }
    this.#state = "response";
    response.set("Content-Type", `application/grpc-web${this.#textResponse ? "-text" : ""}${suffix}`);
    response.remove("content-length");
    // Each piece by itself, padding and all: to keep the bytes back that fill no group would keep back the end of a message.
    if (this.#textResponse) this.responseBody = (piece) => (piece === undefined ? undefined : base64(piece));
  }

  responseTrailers(trailers: HeaderFields): Uint8Array | undefined {
    if (this.#state !== "response") return undefined;
    this.#state = "done";
    const frame = trailersFrame(trailers);
    return this.#textResponse ? base64(frame) : frame;
  }
}

/** Whether the answer is wanted as text; `undefined` where nothing is said of it. */
function acceptsText(accept: string | undefined): boolean | undefined {
  const types = accept
    ?.split(",")
    .map(grpcWebOf)
    .filter((type) => type !== undefined);
  return types?.[0]?.isText;
}

function grpcWebOf(type: string): ReturnType<typeof grpcWebType> {
  return grpcWebType(type.trim());
}

/** A flag, the length in four bytes, and `name:value` lines with names in lower case. */
function trailersFrame(trailers: HeaderFields): Buffer {
  let text = "";
  for (const [name, value] of trailers) text += `${name.toLowerCase()}:${value}\r\n`;
  const frame = Buffer.alloc(5 + text.length);
  frame[0] = TRAILERS_FLAG;
  frame.writeUInt32BE(text.length, 1);
  frame.write(text, 5, "latin1");
  return frame;
}

function base64(bytes: Uint8Array): Buffer {
  return Buffer.from(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64"), "latin1");
}
