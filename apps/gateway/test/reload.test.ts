import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { selfSignedCertificate } from "@sluice/tls-openssl";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { call } from "./http-call.ts";
import { Origin } from "./origin.ts";

let folder: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gateway-"));
  const { cert, key } = selfSignedCertificate({ names: ["localhost"], toDays: 1 });
  await writeFile(`${folder}/cert.pem`, cert);
  await writeFile(`${folder}/key.pem`, key);
});
afterAll(() => rm(folder, { recursive: true }));

const LOG = { SLUICE_LOG: "warn,core=info" };

/** A gateway whose file changes. */
class Reloaded implements AsyncDisposable {
  readonly where: string;
  readonly tls: string;
  readonly #base: string;
  readonly #head: string;
  readonly #gateway: GatewayProcess;
  #signals = 0;

  private constructor(base: string, head: string, routing: string) {
    this.#base = base;
    this.#head = `listeners:
  - address: "unix:${base}.sock"
  - { address: "unix:${base}.tls", tls: { certificates: [{ cert: "${folder}/cert.pem", key: "${folder}/key.pem" }] } }
${head}
`;
    this.where = `unix:${base}.sock`;
    this.tls = `${base}.tls`;
    writeFileSync(`${base}.yaml`, this.#head + routing);
    this.#gateway = new GatewayProcess(["-c", `${base}.yaml`], LOG);
  }

  /** @param head What stays. @param routing What comes first of what changes. */
  static async start(head: string, routing: string): Promise<Reloaded> {
    const base = path.join(folder, String(count++));
    const gateway = new Reloaded(base, head, routing);
    await gateway.until(() => existsSync(`${base}.sock`) && existsSync(`${base}.tls`));
    await gateway.until(() =>
      call(gateway.where, "/ready").then(
        () => true,
        () => false,
      ),
    );
    return gateway;
  }

  get log(): string {
    return this.#gateway.stderr;
  }

  until(condition: () => boolean | Promise<boolean>): Promise<void> {
    return this.#gateway.until(condition);
  }

  /** At once, as an editor does. */
  async write(routing: string, head: string = this.#head): Promise<void> {
    await writeFile(`${this.#base}.new`, head + routing);
    await rename(`${this.#base}.new`, `${this.#base}.yaml`);
  }

  /** Tells it to reload. @returns What it logged about that. */
  async reload(routing: string, more = ""): Promise<string> {
    await this.write(routing, this.#head + more);
    const before = this.log.length;
    this.#signals++;
    this.#gateway.signal("SIGHUP");
    await this.until(() => outcomes(this.log) === this.#signals);
    return this.log.slice(before);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gateway[Symbol.asyncDispose]();
  }
}

function outcomes(log: string): number {
  return log.match(/"msg":"(reloaded|could not reload; goes on with what there is)"/g)?.length ?? 0;
}

/** Requests one after the other on as many connections; counts. */
class Load {
  done = 0;
  readonly failures: string[] = [];
  readonly #over = new AbortController();
  readonly #clients: Promise<unknown>;

  constructor(clients: readonly (() => Promise<void>)[]) {
    this.#clients = Promise.all(
      clients.map(async (ask) => {
        while (!this.#over.signal.aborted) {
          await ask().then(
            () => this.done++,
            (error: unknown) => this.failures.push(String(error)),
          );
        }
      }),
    );
  }

  async end(): Promise<void> {
    this.#over.abort();
    await this.#clients;
  }
}

/** A client with a connection of its own. */
function client(socketPath: string, secure: boolean, target: string): () => Promise<void> {
  const options = { keepAlive: true, maxSockets: 1 };
  const agent = secure ? new TlsAgent({ ...options, rejectUnauthorized: false }) : new Agent(options);
  const send = secure ? tlsRequest : request;
  return () =>
    new Promise((resolve, reject) => {
      send({ socketPath, path: target, agent }, (response) => {
        response
          .resume()
          .on("end", () => (response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`))))
          .on("error", reject);
      })
        .on("error", reject)
        .end();
    });
}

/** Says `101` to whoever asks for it, then sends back what comes. */
async function echoServer(): Promise<Server & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      socket.pipe(socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const dispose = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  };
  return Object.assign(server, { [Symbol.asyncDispose]: dispose });
}

/** A WebSocket as far as a proxy sees one. */
async function openWebSocket(where: string): Promise<{ echo: (text: string) => Promise<string>; end: () => void }> {
  const socket = connect(where.slice("unix:".length)).setEncoding("latin1");
  const next = async (): Promise<string> => ((await once(socket, "data")) as [string])[0];
  socket.write("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  expect(await next()).toMatch(/^HTTP\/1.1 101 /);
  const echo = (text: string): Promise<string> => {
    const answer = next();
    socket.write(text);
    return answer;
  };
  return { echo, end: () => socket.destroy() };
}

/** An upload that goes on until it is told to end. */
function openUpload(where: string): { write: (bytes: Buffer) => void; end: () => Promise<string> } {
  const sent = request({ socketPath: where.slice("unix:".length), path: "/upload", method: "POST" });
  const answer = new Promise<string>((resolve, reject) => {
    sent.on("error", reject).on("response", (response) => {
      let body = String(response.statusCode);
      response
        .setEncoding("latin1")
        .on("data", (text: string) => (body += ` ${text}`))
        .on("end", () => resolve(body))
        .on("error", reject);
    });
  });
  answer.catch(() => undefined);
  return { write: (bytes) => void sent.write(bytes), end: () => (sent.end(), answer) };
}

/** For longer: `SLUICE_RELOADS=200`. */
const RELOADS = Number(process.env["SLUICE_RELOADS"] ?? 20);

test.each([1, 2])(
  `threads: %i: ${RELOADS} reloads under load, and ${Math.floor(RELOADS / 4)} that are refused: nothing fails, whatever goes on meanwhile`,
  async (threads) => {
    const named = (name: string): Promise<Origin> => Origin.start((_request, response) => response.end(name));
    await using one = await named("one");
    await using two = await named("two");
    await using kept = await Origin.start((incoming, response) => {
      let bytes = 0;
      incoming.on("data", (chunk: Buffer) => (bytes += chunk.length)).on("end", () => response.end(`${bytes}`));
    });
    await using echo = await echoServer();
    const echoPort = (echo.address() as AddressInfo).port;
    // Each time other servers and other routes; those of the upload and the WebSocket go.
    const routing = (round: number): string => {
      const [first, second] = round % 2 === 0 ? [one, two] : [two, one];
      const gone = round === 0;
      return `
upstreams:
  a:
    servers: ["${first.address}"${round % 3 === 0 ? `, "${second.address}"` : ""}]
    health_check: { type: tcp, interval_ms: 50 }
    read_ms: ${10_000 + round}
  kept: { servers: ["${kept.address}"] }
  ${gone ? `upload: { servers: ["${kept.address}"], read_ms: 20000 }` : ""}
  ${gone ? `ws: { servers: ["127.0.0.1:${echoPort}"] }` : ""}
routes:
  - { upstream: a }
  - { upstream: kept, path_prefix: /kept }
  - { upstream: a, path_prefix: /round-${round} }
  ${gone ? "- { upstream: upload, path_prefix: /upload }" : ""}
  ${gone ? "- { upstream: ws, path_prefix: /ws }" : ""}
`;
    };
    await using gateway = await Reloaded.start(`threads: ${threads}`, routing(0));
    const webSocket = await openWebSocket(gateway.where);
    const upload = openUpload(gateway.where);
    const socket = gateway.where.slice("unix:".length);
    const clients = [
      ...Array.from({ length: 4 }, () => client(socket, false, "/")),
      ...Array.from({ length: 2 }, () => client(gateway.tls, true, "/")),
      client(socket, false, "/kept"),
    ];
    const load = new Load(clients);

    let sent = 0;
    for (let round = 1; round <= RELOADS; round++) {
      const block = randomBytes(10_000);
      sent += block.length;
      upload.write(block);
      expect(await gateway.reload(routing(round))).toContain('"msg":"reloaded"');
      expect(await webSocket.echo(`round ${round}`)).toBe(`round ${round}`);
      const { done } = load;
      if (round % 4 === 0) {
        const refused = await gateway.reload(`${routing(round)}  - { upstream: nobody, path_prefix: /x }\n`);
        expect(refused).toMatch(/\.yaml:\d+:\d+: routes\[3\]\.upstream: no upstream is named/);
      }
      await gateway.until(() => load.done > done + 20);
    }
    await load.end();
    expect(load.failures).toEqual([]);
    expect(await upload.end()).toBe(`200 ${sent}`);
    webSocket.end();
  },
  40_000 + RELOADS * 1000,
);

describe("a reload", () => {
  test("sends requests to what is new, and lets go of what is gone: its idle connections and its health checks", async () => {
    const sockets = new Set<Socket>();
    await using old = await Origin.start((incoming, response) => {
      sockets.add(incoming.socket);
      response.end("old");
    });
    await using fresh = await Origin.start((_request, response) => response.end("fresh"));
    const routing = (origin: Origin): string =>
      `upstreams: { a: { servers: ["${origin.address}"], health_check: { type: tcp, interval_ms: 20 } } }\nroutes: [{ upstream: a }]\n`;
    await using gateway = await Reloaded.start("", routing(old));
    expect((await call(gateway.where, "/")).body).toBe("old");
    await gateway.reload(routing(fresh));
    expect((await call(gateway.where, "/")).body).toBe("fresh");
    await gateway.until(() => [...sockets].every((socket) => socket.destroyed));
    expect(sockets.size).toBeGreaterThan(0);
    let checks = 0;
    let checksOfOld = 0;
    fresh.server.on("connection", () => checks++);
    old.server.on("connection", () => checksOfOld++);
    await gateway.until(() => checks > 5);
    expect(checksOfOld).toBe(0);
  });

  test("leaves alone what did not change: its connections, and its health; also of a server whose upstream did", async () => {
    let connections = 0;
    await using well = await Origin.start((_request, response) => response.end("well"));
    await using counted = await Origin.start((_request, response) => response.end("counted"));
    counted.server.on("connection", () => connections++);
    await using dead = await Origin.start(() => undefined);
    await dead[Symbol.asyncDispose]();
    const routing = (round: number): string => `
upstreams:
  checked: { servers: ["${dead.address}", "${well.address}"], health_check: { type: tcp, interval_ms: 3600000 } }
  changed: { servers: ["${dead.address}", "${well.address}"], health_check: { type: tcp, interval_ms: 3600000 }, read_ms: ${1000 + round} }
  counted: { servers: ["${counted.address}"] }
routes:
  - { upstream: checked }
  - { upstream: changed, path_prefix: /changed }
  - { upstream: counted, path_prefix: /counted }
`;
    await using gateway = await Reloaded.start("max_retries: 1", routing(0));
    await call(gateway.where, "/counted");
    for (let round = 1; round <= 3; round++) {
      await gateway.reload(routing(round));
      for (const target of ["/", "/", "/changed", "/changed"]) {
        expect(await call(gateway.where, target)).toEqual({ status: 200, body: "well" });
      }
      expect((await call(gateway.where, "/counted")).body).toBe("counted");
    }
    expect(connections).toBe(1);
    // Told once for each upstream, and not again for the successors of one.
    expect(gateway.log.match(/backend becomes unhealthy/g)).toHaveLength(2);
  });

  test("is refused when it would change what cannot be changed, which is named, with its line", async () => {
    await using origin = await Origin.start((_request, response) => response.end("ok"));
    const routing = `upstreams: { a: { servers: ["${origin.address}"] } }\nroutes: [{ upstream: a }]\n`;
    await using gateway = await Reloaded.start("", routing);
    const log = await gateway.reload(routing, "threads: 2\nupgrade_sock: /tmp/other.sock\n");
    expect(log).toMatch(/\.yaml:5:\d+: threads: cannot be changed by a reload; needs an upgrade/);
    expect(log).toMatch(/\.yaml:6:\d+: upgrade_sock: cannot be changed by a reload/);
    expect(await call(gateway.where, "/")).toEqual({ status: 200, body: "ok" });
  });

  test.each([1, 2])("changes the access log, and no line is lost; threads: %i", async (threads) => {
    await using origin = await Origin.start((_request, response) => response.end("ok"));
    const routing = `upstreams: { a: { servers: ["${origin.address}"] } }\nroutes: [{ upstream: a }]\n`;
    const conf = (log: string): string =>
      log === "" ? "" : `access_log: { path: "${folder}/${log}", format: json }\n`;
    const targets = (log: string): string[] =>
      readFileSync(`${folder}/${log}`, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => (JSON.parse(line) as { target: string }).target);
    await using gateway = await Reloaded.start(`threads: ${threads}`, routing);
    await call(gateway.where, "/unlogged");
    expect(await gateway.reload(routing, conf(`first-${threads}.log`))).toContain('"msg":"reloaded"');
    for (let n = 0; n < 8; n++) await call(gateway.where, `/first-${n}`);
    expect(await gateway.reload(routing, conf("none/second.log"))).toMatch(
      /access_log\.path: cannot open .*second\.log: ENOENT/,
    );
    await call(gateway.where, "/still-first");
    expect(await gateway.reload(routing, conf(`second-${threads}.log`))).toContain('"msg":"reloaded"');
    for (let n = 0; n < 8; n++) await call(gateway.where, `/second-${n}`);
    expect(await gateway.reload(routing, conf(""))).toContain('"msg":"reloaded"');
    await call(gateway.where, "/unlogged");
    const eight = (name: string): string[] => Array.from({ length: 8 }, (_, n) => `/${name}-${n}`);
    await expect.poll(() => targets(`first-${threads}.log`).toSorted()).toEqual([...eight("first"), "/still-first"]);
    await expect.poll(() => targets(`second-${threads}.log`).toSorted()).toEqual(eight("second"));
  });

  test("is refused for a file of an upstream that cannot be used", async () => {
    await using origin = await Origin.start((_request, response) => response.end("ok"));
    const routing = (tls: string): string =>
      `upstreams: { a: { servers: ["${origin.address}"]${tls} } }\nroutes: [{ upstream: a }]\n`;
    await using gateway = await Reloaded.start("", routing(""));
    await writeFile(`${folder}/no.pem`, "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n");
    expect(await gateway.reload(routing(`, tls: { ca: "${folder}/no.pem" }`))).toMatch(
      /\.yaml:5:\d+: upstreams\.a\.tls\.ca: .*no\.pem cannot be used, PEM is expected/,
    );
    expect(await gateway.reload(routing(`, tls: { ca: "${folder}/none.pem" }`))).toMatch(/cannot read .*none\.pem/);
    expect(await call(gateway.where, "/")).toEqual({ status: 200, body: "ok" });
  });

  test("happens by itself with reload_on_change, when the file has another text", async () => {
    await using origin = await Origin.start((incoming, response) => response.end(incoming.url));
    const routing = (prefix: string): string =>
      `upstreams: { a: { servers: ["${origin.address}"] } }\nroutes: [{ upstream: a, path_prefix: ${prefix} }]\n`;
    await using gateway = await Reloaded.start("reload_on_change: true", routing("/one"));
    expect((await call(gateway.where, "/two")).status).toBe(404);
    await gateway.write(routing("/two"));
    await gateway.until(async () => (await call(gateway.where, "/two")).status === 200);
    await gateway.write(routing("two"));
    await gateway.until(() => gateway.log.includes("routes[0].path_prefix: expected a path"));
    expect((await call(gateway.where, "/two")).status).toBe(200);
  });
});
