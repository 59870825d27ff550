import { logger, type HttpApp, type ServerSession } from "@sluice/core";
import { ResponseHeader, type HeaderFieldsInit } from "@sluice/http";
import { CONTENT_TYPES, toExposition } from "./exposition.ts";
import type { MetricFamily } from "./metric-family.ts";
import type { MetricsSource } from "./metrics-source.ts";
import { negotiateFormat } from "./negotiate.ts";

const log = logger("prometheus");

/** Answers scrapes: `GET /metrics` with the sums, `GET /metrics/workers` with each process for itself; 404 for all else. */
export class MetricsApp implements HttpApp {
  readonly #source: Pick<MetricsSource, "sum" | "byWorker">;
  readonly #path: string;

  constructor(source: Pick<MetricsSource, "sum" | "byWorker">, path: string) {
    this.#source = source;
    this.#path = path;
  }

  async handleRequest(session: ServerSession): Promise<void> {
    const { error, request } = session;
    if (error !== undefined) {
      // It could not be read. Nothing that follows can be trusted.
      session.disableKeepAlive();
      return respond(session, 400, {}, "the request cannot be read\n");
    }
    const collect = this.#collectorOf(request.path);
    if (collect === undefined) return respond(session, 404, {}, `there are ${this.#path} and ${this.#path}/workers\n`);
    if (request.method !== "GET" && request.method !== "HEAD") {
      return respond(session, 405, { Allow: "GET, HEAD" }, "metrics are read by GET\n");
    }
    let families: MetricFamily[];
    try {
      families = await collect();
    } catch (err) {
      log.error({ err }, "metrics could not be collected");
      return respond(session, 500, {}, "metrics could not be collected; the log says why\n");
    }
    const format = negotiateFormat(request.get("accept"));
    const fields = { "Content-Type": CONTENT_TYPES[format], Vary: "Accept", "Cache-Control": "no-store" };
    respond(session, 200, fields, toExposition(families, format));
  }

  #collectorOf(path: string): (() => Promise<MetricFamily[]>) | undefined {
    if (path === this.#path) return () => this.#source.sum();
    if (path === `${this.#path}/workers`) return () => this.#source.byWorker();
    return undefined;
  }
}

/** To a client that has left meanwhile, it goes nowhere. */
function respond(session: ServerSession, status: number, fields: HeaderFieldsInit, text: string): void {
  const header = ResponseHeader.build(status, fields);
  if (!header.has("content-type")) header.set("Content-Type", "text/plain; charset=utf-8");
  const body = Buffer.from(text);
  header.setContentLength(body.length);
  session.writeHeader(header, false);
  session.writeBody(body);
  session.finish();
}
