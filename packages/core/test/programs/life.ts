// A server for tests of its life. What it serves does what its path says; the first argument is its configuration as JSON, with
// `listen`, a list of addresses, and what else is named below. Tells on standard output, a JSON line each, what happens to it.
import { existsSync, readFileSync } from "node:fs";
import { ResponseHeader } from "@sluice/http";
import {
  backgroundService,
  busQuestion,
  busTopic,
  handoverChannel,
  HttpService,
  LogFile,
  logger,
  observe,
  Server,
  workerChannels,
  type HttpApp,
  type ServerConf,
  type ServerSession,
} from "../../src/index.ts";
import { orderOnlyHandover } from "./handover.ts";

interface Settings extends Partial<ServerConf> {
  listen: string[];
  /** How long a service that listens waits for takes to be ready, in each worker. Milliseconds. */
  slowStartMs?: number;
  /** Workers that start while the file is there are blocked for ever, before `run()`. */
  blockIf?: string;
  /** Workers that start while the file is there end by themselves, before `run()`. */
  endIf?: string;
  /** What each process waits for before it makes its server. Milliseconds. */
  slowProgramMs?: number;
  /** What each worker waits for between its server and `run()`. Milliseconds. */
  slowWorkerMs?: number;
  /** Fails in the worker of this number. */
  failIn?: string;
  upgrade?: boolean;
  /** See handover.ts. */
  handover?: string;
  /** A file for many lines. */
  logFile?: string;
  /** Descriptors by address. */
  inherited?: Record<string, number>;
  /** A file that reloading reads. */
  reload?: string;
}

const settings = JSON.parse(process.argv[2] ?? "{}") as Settings;
const { listen, slowStartMs, failIn, upgrade, handover, reload, logFile, inherited, ...others } = settings;
const { blockIf, endIf, slowProgramMs, slowWorkerMs, ...conf } = others;

const tell = (what: object): void => void process.stdout.write(`${JSON.stringify({ from: process.pid, ...what })}\n`);

const said = busTopic<string>("test:said");
const whoAreYou = busQuestion<string, string>("test:who");
const heard: string[] = [];
const held: object[] = [];
let word = "first";
const file = logFile === undefined ? undefined : new LogFile(logFile);

const actions: Record<string, (query: URLSearchParams) => unknown> = {
  pid: () => process.pid,
  /** Until the file is there; tells when it has begun. */
  hold: async (query) => {
    tell({ holds: true });
    while (!existsSync(query.get("until") ?? "")) await new Promise((resolve) => setTimeout(resolve, 20));
    return "released";
  },
  throw: () =>
    void setImmediate(() => {
      throw new Error("thrown for a test");
    }),
  reject: () => void Promise.reject(new Error("rejected for a test")),
  block: (query) => {
    tell({ blocks: true });
    const until = Date.now() + Number(query.get("ms"));
    while (Date.now() < until);
  },
  exit: () => process.exit(7),
  abort: () => process.abort(),
  /** `atOnce`: in one turn of the event loop. */
  oom: (query) => {
    const grow = (): void => {
      do for (let i = 0; i < 100; i++) held.push(Array.from({ length: 100 }, (_, index) => ({ index })));
      while (query.has("atOnce"));
      setTimeout(grow, 5);
    };
    grow();
  },
  say: (query) => server.bus.publish(said, query.get("what") ?? "", { retainAs: query.get("as") ?? "latest" }),
  log: (query) => logger("life").info({ n: Number(query.get("n")) }, "logged"),
  file: (query) => file?.write(`${query.get("n")}\n`),
  complain: () => console.error("a complaint"),
  heard: () => heard.join(","),
  ask: async () => (await server.bus.ask(whoAreYou, "?")).toSorted().join(","),
  word: () => word,
};

const app: HttpApp = {
  handleRequest: async (session: ServerSession) => {
    if (session.error !== undefined) return;
    const url = new URL(session.request.target, "http://a");
    const result = await actions[url.pathname.slice(1)]?.(url.searchParams);
    const body = Buffer.from(typeof result === "string" ? result : JSON.stringify(result ?? "ok").replaceAll('"', ""));
    session.writeHeader(ResponseHeader.build(200, { "Content-Length": body.length, "X-Pid": process.pid }), false);
    session.writeBody(body);
    session.finish();
  },
};

if (slowProgramMs !== undefined) await new Promise((resolve) => setTimeout(resolve, slowProgramMs));
const server = new Server(conf, {
  ...(upgrade !== undefined && { upgrade }),
  ...(inherited !== undefined && { inherited: new Map(Object.entries(inherited)) }),
  ...(handover !== undefined && { handover: orderOnlyHandover(handover) }),
});
server.onPhase((phase) => tell({ phase }));
server.bus.subscribe(said, (what) => void heard.push(what));
server.bus.answer(whoAreYou, (question) => `${process.pid}${question}`);
for (const channel of [workerChannels.ready, workerChannels.draining, workerChannels.ended]) {
  observe<object>(channel, (message) => tell({ channel: channel.name, ...message }));
}
observe(handoverChannel, ({ outcome, error }) =>
  tell({ channel: handoverChannel.name, outcome, message: error instanceof Error ? error.message : "" }),
);
if (reload !== undefined) {
  server.onReload({
    name: "word",
    load: () => {
      const text = readFileSync(reload, "utf8").trim();
      if (text === "bad") throw new Error("a bad word");
      return text;
    },
    apply: (text: string) => {
      word = text;
    },
  });
}

const once = backgroundService("once", {
  run: (shutdown, ready) => {
    tell({ once: "started" });
    ready();
    return new Promise((resolve) => shutdown.addEventListener("abort", () => resolve()));
  },
});
server.addService(Object.assign(once, { oncePerServer: true }));
if (slowStartMs !== undefined) {
  server.addService({
    name: "slow",
    start: () => new Promise((resolve) => setTimeout(resolve, slowStartMs)),
    stop: () => Promise.resolve(),
  });
}
const web = new HttpService("web", app);
for (const address of listen) {
  if (address.startsWith("unix:")) web.listenUnix(address.slice(5));
  else web.listenTcp(address, { reusePort: handover !== undefined });
}
server.addService(web);
server.addService({
  name: "announcement",
  start: () => {
    if (failIn !== undefined) return Promise.reject(new Error(failIn));
    tell({ addresses: web.addresses });
    return Promise.resolve();
  },
  stop: () => Promise.resolve(),
});
if (blockIf !== undefined && server.worker !== undefined && existsSync(blockIf)) {
  tell({ blocks: true });
  for (;;);
}
if (endIf !== undefined && server.worker !== undefined && existsSync(endIf)) process.exit(1);
if (slowWorkerMs !== undefined && server.worker !== undefined) {
  await new Promise((resolve) => setTimeout(resolve, slowWorkerMs));
}
await server.run();
tell({ over: true });
