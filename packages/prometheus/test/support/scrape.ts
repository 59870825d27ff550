import { Server } from "@sluice/core";
import { prometheusService, type PrometheusOptions, type PrometheusService } from "@sluice/prometheus";

/** What a scraper has read: values by `name{label="value",…}`. */
export class Scrape {
  readonly text: string;
  readonly response: Response;
  readonly values: ReadonlyMap<string, number>;

  constructor(response: Response, text: string) {
    this.response = response;
    this.text = text;
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    this.values = new Map(lines.map(toEntry));
  }

  /** `undefined` if there is no such series. */
  value(series: string): number | undefined {
    return this.values.get(series);
  }

  /** The series of that name, label values and all. */
  seriesOf(name: string): string[] {
    return [...this.values.keys()].filter((series) => series === name || series.startsWith(`${name}{`));
  }

  /** The sum of all series of that name. */
  total(name: string): number {
    return this.seriesOf(name).reduce((sum, series) => sum + this.values.get(series)!, 0);
  }

  /** The families that the TYPE lines name. */
  get names(): string[] {
    return [...this.text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);
  }
}

function toEntry(line: string): readonly [string, number] {
  const match = /^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)(?: # .*)?$/.exec(line);
  if (match === null) throw new Error(`no sample: ${line}`);
  return [match[1]!, match[2] === "+Inf" ? Infinity : Number(match[2])];
}

/** A running endpoint, stopped when it is disposed of. */
export class Endpoint implements AsyncDisposable {
  readonly service: PrometheusService;

  private constructor(service: PrometheusService) {
    this.service = service;
  }

  static async start(options: PrometheusOptions = {}): Promise<Endpoint> {
    const service = prometheusService(new Server(), options).listenTcp("127.0.0.1:0");
    await service.start();
    return new Endpoint(service);
  }

  fetch(path = "/metrics", init: RequestInit = {}): Promise<Response> {
    return fetch(`http://${this.service.addresses[0]}${path}`, init);
  }

  async scrape(path = "/metrics", accept?: string): Promise<Scrape> {
    const response = await this.fetch(path, accept === undefined ? {} : { headers: { accept } });
    return new Scrape(response, await response.text());
  }

  /** Scrapes until `isThere`: what is counted when a connection closes comes when the system says so. */
  async until(isThere: (scrape: Scrape) => boolean): Promise<Scrape> {
    for (;;) {
      const scrape = await this.scrape();
      if (isThere(scrape)) return scrape;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service.stop(AbortSignal.abort());
  }
}
