import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { selfSignedCertificate } from "@sluice/tls-openssl/testing";
import { expect } from "vitest";
import { WebSocketServer } from "ws";
import { testWith } from "../../../test/programs.ts";
import { GatewayProcess } from "./gateway-process.ts";
import { Origin } from "./origin.ts";

const IMAGES = 100;
/** The smallest GIF: one pixel. */
const GIF = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");

/** Shows the images, speaks by WebSocket, and reports what became of both. */
const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>images</title>
${Array.from({ length: IMAGES }, (_, index) => `<img src="/image/${index}.gif">`).join("\n")}
<script>
  addEventListener("load", () => {
    const loaded = [...document.images].filter((image) => image.complete && image.naturalWidth === 1).length;
    const entries = performance.getEntriesByType("resource").filter(({ initiatorType }) => initiatorType === "img");
    const protocols = [...performance.getEntriesByType("navigation"), ...entries].map((entry) => entry.nextHopProtocol);
    const report = (echo) => fetch("/report", { method: "POST", body: JSON.stringify({ loaded, protocols, echo }) });
    const socket = new WebSocket("wss://" + location.host + "/socket");
    socket.onopen = () => socket.send("Grüße");
    socket.onmessage = ({ data }) => report(data);
    socket.onerror = () => report("failed");
  });
</script>`;

interface Report {
  readonly loaded: number;
  readonly protocols: readonly string[];
  /** What came back by WebSocket. */
  readonly echo: string;
}

/** Nothing of its own: no service, no update, and no address but ours. */
const QUIET = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-extensions",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  "--ignore-certificate-errors",
  "--remote-debugging-port=0",
];

testWith(
  "chromium",
  "Chromium loads a page with 100 images by HTTP/2, and speaks WebSocket over it, on one connection",
  async ({ chromium }) => {
    const folder = mkdtempSync(path.join(tmpdir(), "gateway-chromium-"));
    const { promise: reported, resolve: report } = Promise.withResolvers<Report>();
    await using origin = await Origin.start((request, response) => void answer(request, response, report));
    const sockets = new WebSocketServer({ server: origin.server, path: "/socket" });
    sockets.on("connection", (socket) => socket.on("message", (message) => socket.send(message, { binary: false })));
    const { cert, key } = selfSignedCertificate({ names: ["127.0.0.1"] });
    writeFileSync(`${folder}/cert.pem`, cert);
    writeFileSync(`${folder}/key.pem`, key);
    await using gateway = await GatewayProcess.start(
      folder,
      `listeners:
  - address: 127.0.0.1:0
    tls: { certificates: [{ cert: "${folder}/cert.pem", key: "${folder}/key.pem" }] }
upstreams: { a: { servers: ["${origin.address}"] } }
routes: [{ upstream: a }]
`,
    );
    const url = `https://${gateway.addresses[0]!}/`;
    const browser = spawn(chromium, [...QUIET, `--user-data-dir=${folder}/profile`, url], {
      stdio: ["ignore", "ignore", "pipe"],
      // It has children of its own, which end with it as a group.
      detached: true,
    });
    let said = "";
    browser.stderr.setEncoding("utf8").on("data", (piece: string) => (said += piece));
    const ended = once(browser, "close").then(([code]) => {
      throw new Error(`chromium ended with ${String(code)}; it said:\n${said}`);
    });
    try {
      const { loaded, protocols, echo } = await Promise.race([reported, ended]);
      expect(loaded).toBe(IMAGES);
      expect(echo).toBe("Grüße");
      expect(protocols).toEqual(Array<string>(IMAGES + 1).fill("h2"));
    } finally {
      try {
        process.kill(-browser.pid!, "SIGKILL");
      } catch {
        // It had ended.
      }
      await ended.catch(() => undefined);
      rmSync(folder, { recursive: true, maxRetries: 10, retryDelay: 100 });
    }
    await gateway.until(() => gateway.requests.some(({ target }) => target === "/socket"));
    const images = gateway.requests.filter(({ target }) => String(target).startsWith("/image/"));
    expect(images.map(({ status }) => status)).toEqual(Array<number>(IMAGES).fill(200));
    const socket = gateway.requests.find(({ target }) => target === "/socket");
    expect(new Set([...images, socket].map((line) => line?.["client"])).size).toBe(1);
  },
  120_000,
);

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  report: (report: Report) => void,
): Promise<void> {
  if (request.url === "/") {
    response.setHeader("Content-Type", "text/html").end(PAGE);
  } else if (request.url?.startsWith("/image/")) {
    response.setHeader("Content-Type", "image/gif").end(GIF);
  } else if (request.url === "/report") {
    report(JSON.parse(await text(request)) as Report);
    response.writeHead(204).end();
  } else {
    // A favicon.
    response.writeHead(404).end();
  }
}
