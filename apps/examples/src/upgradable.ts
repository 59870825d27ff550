// A proxy that can be replaced by its next version without a client noticing, also under systemd:
//
//     node apps/examples/src/upgradable.ts --conf FILE
//
// To replace it, start the new version with --upgrade in addition, then send SIGQUIT to the process that runs. The configuration
// is that of any server, with two keys more: `listen: 127.0.0.1:8080` and `upstream: 127.0.0.1:9001`, which are the defaults.
import { loadServerConf, parseServerArgs, Server } from "@sluice/core";
import { activatedSockets, linuxHandover, reportToSystemd } from "@sluice/linux";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";

const args = process.argv.slice(2);
const { conf: file } = parseServerArgs(args);
const { listen = "127.0.0.1:8080", upstream = "127.0.0.1:9001" } =
  file === undefined ? {} : loadServerConf(file).extensions;

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,
  upstreamPeer: () => new HttpPeer(String(upstream)),
};

// `inherited`: what a socket unit of systemd has opened; nothing elsewhere.
const server = Server.fromArgs(args, { handover: linuxHandover(), inherited: activatedSockets() });
reportToSystemd(server);
const proxy = httpProxy(server, app).listenTcp(String(listen));
server.addService(proxy);
server.onPhase((phase) => {
  if (phase === "Running") console.log(`listening on ${proxy.addresses.join(", ")}`);
});
await server.run();
