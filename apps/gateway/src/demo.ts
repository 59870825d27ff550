import { fileURLToPath } from "node:url";
import type { Responded, Session } from "@sluice/proxy";
import type { DemoOrigin } from "./demo-origin.ts";
import { loadGatewayConf, type GatewayConf } from "./gateway-conf.ts";
import { ownCertificate } from "./own-certificate.ts";

const ORIGINS = 3;
/** Beside the sources, and not in git. */
const CERTIFICATE_FOLDER = fileURLToPath(new URL("../.demo-certificate", import.meta.url));
const CONTROL_PATH = /^\/demo\/(start|stop)\/([1-9])$/;

/** The demo's own parts: origins, the configuration that leads to them, and what switches them off and on. */
export class Demo {
  static readonly confFile: string = fileURLToPath(new URL("demo.yaml", import.meta.url));
  readonly conf: GatewayConf;
  readonly #origins: readonly DemoOrigin[];

  private constructor(conf: GatewayConf, origins: readonly DemoOrigin[]) {
    this.conf = conf;
    this.#origins = origins;
  }

  /** @throws ConfigError when demo.yaml is not valid. */
  static loadConf(): GatewayConf {
    return loadGatewayConf(Demo.confFile);
  }

  static async start(): Promise<Demo> {
    const conf = Demo.loadConf();
    // Here, since it loads node:http: every other start would wait 20 ms for that, in vain.
    const { DemoOrigin } = await import("./demo-origin.ts");
    const origins = Array.from({ length: ORIGINS }, (_, index) => new DemoOrigin(index + 1));
    await Promise.all(origins.map((origin) => origin.start()));
    const servers = origins.map(({ address }) => ({ address, weight: 1 }));
    const upstreams = Object.fromEntries(
      Object.entries(conf.upstreams).map(([name, upstream]) => [name, { ...upstream, servers }]),
    );
    const certificate = ownCertificate(CERTIFICATE_FOLDER, ["localhost", "127.0.0.1"]);
    const listeners = conf.listeners.map((listener) =>
      listener.tls === undefined ? listener : { ...listener, tls: { ...listener.tls, certificates: [certificate] } },
    );
    return new Demo({ ...conf, listeners, upstreams }, origins);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#origins.map((origin) => origin.stop()));
  }

  /** Answers `POST /demo/stop/2` and `POST /demo/start/2`; leaves everything else alone. */
  async control(session: Session): Promise<Responded | undefined> {
    const [, verb, number] = CONTROL_PATH.exec(session.request.path) ?? [];
    const origin = this.#origins.find((one) => one.number === Number(number));
    if (origin === undefined) return undefined;
    if (session.request.method !== "POST") {
      return session.respond(405, { fields: { Allow: "POST" }, body: "use POST\n" });
    }
    try {
      await (verb === "stop" ? origin.stop() : origin.start());
    } catch (error) {
      return session.respond(409, { body: `origin ${origin.number}: ${(error as Error).message}\n` });
    }
    return session.respond(200, { body: `origin ${origin.number}: ${verb === "stop" ? "stopped" : "started"}\n` });
  }

  /** What runs and what to try. */
  get introduction(): string {
    const url = `http://${this.conf.listeners[0]?.address ?? ""}`;
    const secured = `https://${this.conf.listeners[1]?.address ?? ""}`;
    const origins = this.#origins.map(({ address }) => address).join(", ");
    return `
Sluice demo: ${url} shares requests between three origins, ${origins}.
Try, in another terminal:

  curl -i ${url}/                     again and again: the origins take turns
  curl -d 'any text' ${url}/echo      comes back
  curl ${url}/slow                    takes two seconds
  curl -o /dev/null ${url}/bytes/100000000
  curl -k --http2 -i ${secured}/         by TLS and HTTP/2, with a certificate of its own making
  curl -X POST ${url}/demo/stop/2     origin 2 dies, and the others serve on
  curl -X POST ${url}/demo/start/2    and it is back within a second or two

Ctrl-C stops it. Below, a line for each request.

`;
  }
}
