import type { RequestHeader } from "@sluice/http";
import type { Session } from "./session.ts";

/** Of a request that is sent back to who sent it, what is nobody else's (RFC 9110, section 9.3.8). */
const SENSITIVE = new Set(["authorization", "cookie", "proxy-authorization"]);

/**
 * How many servers may still pass the request on, as the client has it: each counts it down, and who finds 0 answers (RFC 9110, section
 * 7.6.2). It counts for OPTIONS and TRACE only. `undefined`: no limit, nor is what is no number or stands there twice.
 */
export function maxForwardsOf(request: RequestHeader): number | undefined {
  const { method } = request;
  if (method !== "OPTIONS" && method !== "TRACE") return undefined;
  const values = request.getAll("max-forwards");
  return values.length === 1 && /^\d{1,15}$/.test(values[0]!) ? Number(values[0]) : undefined;
}

/** Answers a request that goes no further as its last recipient does: OPTIONS with an empty 200, TRACE with the request as it came. */
export function respondAsLast(session: Session): void {
  if (session.request.method === "OPTIONS") {
    session.respond(200);
    return;
  }
  session.respond(200, {
    fields: { "Content-Type": "message/http" },
    body: Buffer.from(textOf(session.request), "latin1"),
  });
}

function textOf(request: RequestHeader): string {
  let text = `${request.method} ${request.target} HTTP/1.1\r\n`;
  for (const [name, value] of request) {
    if (!SENSITIVE.has(name.toLowerCase())) text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}
