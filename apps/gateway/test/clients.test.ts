import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { credentials, Metadata } from "@grpc/grpc-js";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { echoClient, startEchoServer, type EchoServer } from "../../../packages/proxy/test/grpc/grpc-service.ts";
import { testWith } from "../../../test/programs.ts";
import { GatewayProcess } from "./gateway-process.ts";
import { Origin } from "./origin.ts";

// Clients that people use, against the gateway as people run it.

const run = promisify(execFile);
const ca = certificateAuthority("Gateway");
const clients = certificateAuthority("Clients");

let folder: string;
let origin: Origin;
let calls: EchoServer;
let gateway: GatewayProcess;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "gateway-clients-"));
  const server = ca.issue({ names: ["localhost"] });
  const client = clients.issue({ usage: "client", commonName: "curl" });
  const files = {
    "server.pem": server.cert,
    "server.key": server.key,
    "clients.pem": clients.cert,
    "client.pem": client.cert,
    "client.key": client.key,
    "ca.pem": ca.cert,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  origin = await Origin.start((asked, response) => {
    if (asked.method === "POST") asked.pipe(response);
    else response.end(`hello ${asked.url}`);
  });
  calls = await startEchoServer();
  const certificates = `certificates: [{ cert: "${folder}/server.pem", key: "${folder}/server.key" }]`;
  gateway = await GatewayProcess.start(
    folder,
    `listeners:
  - { address: 127.0.0.1:0, tls: { ${certificates} } }
  - address: 127.0.0.1:0
    tls: { ${certificates}, client_certificates: { mode: require, ca: "${folder}/clients.pem" } }
  - { address: 127.0.0.1:0 }
h2c: true
upstreams:
  a: { servers: ["${origin.address}"] }
  calls: { servers: ["${calls.address}"], http: 2 }
routes:
  - { upstream: a }
  - { path_prefix: /test.Echo, upstream: calls }
`,
    { SLUICE_LOG: "info" },
  );
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  await calls[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** `https://localhost:port`, whose certificate verifies. */
function urlOf(listener: number): string {
  return `https://localhost:${gateway.addresses[listener]!.split(":")[1]!}`;
}

/** Of the requests to this path: the connections that they came on. */
function connectionsTo(prefix: string): Set<unknown> {
  const lines = gateway.requests.filter(({ target }) => String(target).startsWith(prefix));
  return new Set(lines.map(({ client }) => client));
}

describe("undici", () => {
  test.for([
    ["HTTP/2", true],
    ["HTTP/1.1", false],
  ] as const)("by %s: 200 requests, some with bodies, on few connections", async ([version, allowH2]) => {
    const dispatcher = new Agent({ allowH2, connections: 4, connect: { ca: ca.cert } });
    const prefix = `/undici/${version.replace("/", "")}`;
    try {
      await Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          const url = `${urlOf(0)}${prefix}/${index}`;
          const body = "x".repeat(index * 100);
          const posts = index % 2 === 1;
          const answer = await request(url, posts ? { dispatcher, method: "POST", body } : { dispatcher });
          expect(answer.statusCode).toBe(200);
          expect(await answer.body.text()).toBe(posts ? body : `hello ${prefix}/${index}`);
        }),
      );
    } finally {
      await dispatcher.close();
    }
    await gateway.until(
      () => gateway.requests.filter(({ target }) => String(target).startsWith(prefix)).length === 200,
    );
    expect(connectionsTo(prefix).size).toBeLessThanOrEqual(4);
  });
});

describe("grpc-js", () => {
  test.for([
    ["TLS", 0],
    ["HTTP/2 by prior knowledge", 2],
  ] as const)("by %s: 100 calls at once, and a stream both ways", async ([, listener]) => {
    const trusted = listener === 0 ? credentials.createSsl(Buffer.from(ca.cert)) : credentials.createInsecure();
    const client = echoClient(urlOf(listener).replace("https://", ""), trusted);
    try {
      const answers = Array.from({ length: 100 }, (_, index) => {
        const { promise, resolve, reject } = Promise.withResolvers<string>();
        client.unary(Buffer.from(`call ${index}`), new Metadata(), {}, (error, answer) =>
          error === null ? resolve(String(answer)) : reject(error),
        );
        return promise;
      });
      expect(await Promise.all(answers)).toEqual(answers.map((_, index) => `call ${index}`));

      const stream = client.both();
      stream.write(Buffer.from("one"));
      stream.end(Buffer.from("two"));
      expect(((await stream.toArray()) as Buffer[]).map(String)).toEqual(["one", "two"]);
    } finally {
      client.close();
    }
  });
});

describe("curl", () => {
  testWith("curl", "by each version and way", async ({ curl }) => {
    const plain = `http://${gateway.addresses[2]!}`;
    const ask = async (...args: string[]): Promise<string> => {
      const { stdout } = await run(curl, ["-sS", "--cacert", `${folder}/ca.pem`, "-w", " %{http_version}", ...args]);
      return stdout;
    };
    expect(await ask("--http2", `${urlOf(0)}/curl`)).toBe("hello /curl 2");
    expect(await ask("--http1.1", `${urlOf(0)}/curl`)).toBe("hello /curl 1.1");
    expect(await ask("--http2-prior-knowledge", `${plain}/curl`)).toBe("hello /curl 2");
    expect(await ask(`${plain}/curl`)).toBe("hello /curl 1.1");
  });

  testWith("curl", "with a certificate gets in, and without stays outside", async ({ curl }) => {
    const args = ["-sS", "--cacert", `${folder}/ca.pem`, `${urlOf(1)}/mutual`];
    const shown = ["--cert", `${folder}/client.pem`, "--key", `${folder}/client.key`];
    const { stdout } = await run(curl, [...args, ...shown]);
    expect(stdout).toBe("hello /mutual");
    // By HTTP/2 it would have begun to speak before it hears of it.
    await expect(run(curl, [...args, "--http1.1"])).rejects.toThrow(/certificate required/);
  });
});

describe("h2load", () => {
  testWith(
    "h2load",
    "10,000 requests on ten connections without a failure",
    async ({ h2load }) => {
      const { stdout } = await run(h2load, ["-n", "10000", "-c", "10", "-m", "50", `${urlOf(0)}/h2load`]);
      expect(stdout).toContain(
        "10000 total, 10000 started, 10000 done, 10000 succeeded, 0 failed, 0 errored, 0 timeout",
      );
      expect(stdout).toContain("10000 2xx, 0 3xx, 0 4xx, 0 5xx");
      await gateway.until(() => connectionsTo("/h2load").size === 10);
    },
    120_000,
  );
});
