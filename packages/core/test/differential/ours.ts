import type { ProxyError } from "@sluice/error";
import { call, pairs, serve } from "../harness.ts";
import type { Verdict } from "./verdict.ts";

/** Gives `bytes` to our server session, which answers each request. */
export async function oursOnRequests(bytes: string): Promise<Verdict[]> {
  const served = serve();
  await served.send(bytes);
  const verdicts = served.requests.map(({ session, body, trailers, ended }): Verdict => {
    const { error, request } = session;
    if (error !== undefined) return { kind: "refuses", why: reasonOf(error) };
    if (!ended && !session.requestBodyDone) return { kind: "waits" };
    const start = [request.method, request.target, request.version];
    return { kind: "accepts", start, fields: pairs(request), body, trailers: trailers ?? [] };
  });
  if (verdicts.every(({ kind }) => kind === "accepts")) verdicts.push({ kind: served.got.ended ? "stops" : "waits" });
  served.connection.destroy();
  return verdicts;
}

/** Gives `bytes` to our client session as the answer to `method`. */
export async function oursOnResponse(bytes: string, method: string, fin: boolean): Promise<Verdict[]> {
  const called = call();
  const seen = called.request(method);
  await called.send(bytes);
  if (fin) called.origin.end();
  await called.pair.flush();
  const { error, header, body, trailers, ended, informational } = seen;
  called.connection.destroy();
  if (error !== undefined) return [{ kind: "refuses", why: reasonOf(error) }];
  if (header === undefined || !ended) return [{ kind: "waits" }];
  const start = [...informational.map(String), header.version, String(header.status), header.reason];
  return [{ kind: "accepts", start, fields: pairs(header), body, trailers: trailers ?? [] }];
}

/** Without what it quotes of the bytes. */
function reasonOf(error: ProxyError): string {
  const { context = error.message, cause } = error;
  const deepest = (cause as ProxyError | undefined)?.context ?? context;
  return deepest
    .replace(/: ".*$/s, "")
    .replace(/ "(?:[^"\\]|\\.)*"/gs, " …")
    .replace(/0x[\da-f]{2}/, "0x…")
    .replace(/followed by .*$/s, "followed by …");
}
