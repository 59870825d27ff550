import { ProxyError } from "@sluice/error";
import { tooSlowly, type WriteLimits } from "./write-watch.ts";

// What a client does wrong besides what it says, or what happens to its connection.

/** It ended its direction. @param bodyEnded Its request was complete. */
export function clientLeft(bodyEnded: boolean): ProxyError {
  const what = bodyEnded ? "before the response was complete" : "before its request was complete";
  return ProxyError.downstream("ConnectionClosed", `the client closed ${what}`);
}

/** Its connection is gone. @param cause What the stream says; `undefined` if it was closed without an error. */
export function connectionGone(cause: Error | undefined): ProxyError {
  return cause === undefined
    ? ProxyError.downstream("ConnectionClosed", "the client's connection closed")
    : ProxyError.downstream("ReadError", "the client's connection failed", cause);
}

export function closedInHead(): ProxyError {
  return new ProxyError("ConnectionClosed", { context: "the client closed in the middle of a head" });
}

export function failedInHead(cause: Error | undefined): ProxyError {
  return new ProxyError("ReadError", { context: "the connection failed in the middle of a head", cause });
}

export function headTooLate(headMs: number): ProxyError {
  const context = `the client sent no complete head within ${headMs} ms`;
  return new ProxyError("ReadTimedout", { context, status: 408 });
}

export function bodyTooLate(bodyMs: number): ProxyError {
  const context = `the client sent no body bytes for ${bodyMs} ms`;
  return new ProxyError("ReadTimedout", { context, status: 408 });
}

/** HTTP/2: every byte of the body is there, and the end of the stream is not (RFC 9113, section 8.1). */
export function endTooLate(bytes: number, bodyMs: number): ProxyError {
  const context = `the client sent all ${bytes} bytes that its Content-Length says, and for ${bodyMs} ms no END_STREAM, which ends a request`;
  return new ProxyError("ReadTimedout", { context, status: 408 });
}

export function takesTooSlowly(limits: WriteLimits): ProxyError {
  return ProxyError.downstream("WriteTimedout", `the client ${tooSlowly(limits)}`);
}

export function serverStops(): ProxyError {
  const error = ProxyError.downstream("ConnectionClosed", "we cut the connection: the server stops");
  return error.setDetail("server-stop");
}
