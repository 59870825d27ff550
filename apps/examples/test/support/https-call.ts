import { request, type RequestOptions } from "node:https";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";

export interface HttpsAnswer {
  readonly status: number;
  readonly body: string;
  /** The names in the certificate that the server has shown. */
  readonly names: string | undefined;
}

/** One request by HTTP/1.1 on a connection of its own, with `name` as the name that is asked for. */
export function httpsCall(address: string, name: string, options: RequestOptions): Promise<HttpsAnswer> {
  const [host, port] = address.split(":");
  return new Promise((resolve, reject) => {
    request({ host, port, servername: name, headers: { host: name }, agent: false, ...options }, (response) => {
      const shown = (response.socket as TLSSocket).getPeerCertificate() as DetailedPeerCertificate;
      let body = "";
      response
        .setEncoding("utf8")
        .on("data", (text: string) => (body += text))
        .on("end", () => resolve({ status: response.statusCode!, body, names: shown.subjectaltname }))
        .on("error", reject);
    })
      .on("error", reject)
      .end();
  });
}
