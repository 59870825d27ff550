import { request } from "node:http";

export interface Answer {
  status: number;
  body: string;
}

export interface CallOptions {
  method?: string;
  /** The Host field. */
  host?: string;
  body?: string;
}

/** One request on a connection of its own. @param where `unix:/path` or `host:port`. */
export function call(where: string, path: string, options: CallOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const target = where.startsWith("unix:")
      ? { socketPath: where.slice("unix:".length) }
      : { host: where.slice(0, where.lastIndexOf(":")), port: where.slice(where.lastIndexOf(":") + 1) };
    const headers = { Host: options.host ?? "localhost" };
    request({ ...target, path, method: options.method ?? "GET", headers, agent: false }, (response) => {
      let body = "";
      response
        .setEncoding("latin1")
        .on("data", (text: string) => (body += text))
        .on("end", () => resolve({ status: response.statusCode!, body }))
        .on("error", reject);
    })
      .on("error", reject)
      .end(options.body);
  });
}
