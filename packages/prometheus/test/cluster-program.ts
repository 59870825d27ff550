// A program whose primary serves the metrics of its workers; each of these is a proxy that answers by itself. Its parent says what to
// do, and is told what was done.
import cluster from "node:cluster";
import { configureLogs, Server } from "@sluice/core";
import { clusterBus, prometheusService } from "@sluice/prometheus";
import { httpProxy, type ProxyHttp } from "@sluice/proxy";

export type Command = { do: "fork" } | { do: "kill" | "stop" | "freeze" | "thaw"; worker: number };
export type Told =
  | { told: "serving"; address: string }
  | { told: "worker"; worker: number; pid: number; socket: string; metrics: string }
  | { told: "gone"; worker: number };

configureLogs({ levels: "silent" });
const [folder, collectMs] = process.argv.slice(2) as [string, string];
if (cluster.isPrimary) await primary();
else await worker(cluster.worker!.id);

async function primary(): Promise<void> {
  const metrics = prometheusService(new Server(), {
    bus: clusterBus(),
    worker: "primary",
    collectMs: Number(collectMs),
  });
  await metrics.listenTcp("127.0.0.1:0").start();
  cluster.on("message", (_, message: Told) => void ("told" in message && tell(message)));
  cluster.on("exit", ({ id }) => tell({ told: "gone", worker: id }));
  process.on("message", (command: Command) => {
    if (command.do === "fork") {
      cluster.fork();
      return;
    }
    const { process: child } = cluster.workers![command.worker]!;
    if (command.do === "stop") child.send("stop");
    else child.kill(({ kill: "SIGKILL", freeze: "SIGSTOP", thaw: "SIGCONT" } as const)[command.do]);
  });
  process.on("disconnect", () => process.exit());
  tell({ told: "serving", address: metrics.addresses[0]! });
}

async function worker(id: number): Promise<void> {
  const app: ProxyHttp<object> = {
    newCtx: () => ({}),
    requestFilter: (session) => session.respond(200),
    upstreamPeer: () => {
      throw new Error("never asked");
    },
  };
  const server = new Server();
  const socket = `${folder}/worker-${id}.sock`;
  const metricsSocket = `${folder}/metrics-${id}.sock`;
  const metrics = prometheusService(server, { bus: clusterBus() }).listenUnix(metricsSocket);
  server.addService(httpProxy(server, app).listenUnix(socket)).addService(metrics);
  await server.start();
  process.on("message", (message) => {
    if (message === "stop") void server.stop(0).then(() => process.disconnect!());
  });
  process.send!({ told: "worker", worker: id, pid: process.pid, socket, metrics: metricsSocket } satisfies Told);
}

function tell(told: Told): void {
  process.send!(told);
}
