// A forward proxy, for plain requests and for CONNECT: whoever knows the login may reach public addresses, on few ports.
//
//   FORWARD_PROXY_LOGIN=me:secret node apps/examples/src/forward-proxy.ts [LISTEN] [--port PORT]… [--allow-private]
//   curl --proxy http://me:secret@127.0.0.1:8080 https://example.org/
import { createHash, timingSafeEqual } from "node:crypto";
import { lookup } from "node:dns/promises";
import { BlockList, isIPv6 } from "node:net";
import { parseArgs } from "node:util";
import { Server } from "@sluice/core";
import { httpProxy, HttpPeer, ProxyError, type ProxyHttp, type Session } from "@sluice/proxy";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string", multiple: true, default: ["80", "443"] },
    "allow-private": { type: "boolean", default: false },
  },
});
const [listen = "127.0.0.1:8080"] = positionals;
const login = process.env["FORWARD_PROXY_LOGIN"];
if (login === undefined) {
  console.error(
    "usage: FORWARD_PROXY_LOGIN=name:password node forward-proxy.ts [LISTEN] [--port 443]… [--allow-private]",
  );
  process.exit(2);
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
const wanted = digest(`Basic ${Buffer.from(login).toString("base64")}`);
const ports = new Set(values.port.map(Number));

/** What only this machine, or its own network, can reach (RFC 6890), or what leads there in disguise. */
const inner = new BlockList();
for (const subnet of [
  ..."0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.168.0.0/16".split(
    " ",
  ),
  ..."198.18.0.0/15 224.0.0.0/3 ::/127 64:ff9b::/32 2002::/16 fc00::/7 fe80::/9 ff00::/8".split(" "),
]) {
  const [address = "", prefix] = subnet.split("/");
  inner.addSubnet(address, Number(prefix), isIPv6(address) ? "ipv6" : "ipv4");
}

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,

  requestFilter(session) {
    // By digests, which take the same time to compare whatever was sent.
    if (timingSafeEqual(digest(session.request.get("proxy-authorization") ?? ""), wanted)) return undefined;
    return session.respond(407, { fields: { "Proxy-Authenticate": 'Basic realm="forward proxy"' } });
  },

  async upstreamPeer(session) {
    const { hostname, port } = destination(session);
    if (!ports.has(port)) throw ProxyError.httpStatus(403, `port ${port} is not on the list`);
    const { address } = await lookup(hostname).catch((error: unknown) => {
      throw ProxyError.upstream("ConnectError", `looking up ${hostname}`, error).setDetail("name-lookup");
    });
    // Of the address, not of the name: what is connected to is what was checked, and a name may mean another one next time.
    if (!values["allow-private"] && inner.check(address, isIPv6(address) ? "ipv6" : "ipv4")) {
      throw ProxyError.httpStatus(403, `${hostname} is ${address}, which is not public`);
    }
    return new HttpPeer(isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`, {
      tunnel: session.request.method === "CONNECT",
    });
  },

  // It was for us.
  upstreamRequestFilter: (_session, outgoing) => void outgoing.remove("proxy-authorization"),
};

/** Of a plain request, which came as `GET http://host/path`, its authority has become Host. */
function destination({ request }: Session): { hostname: string; port: number } {
  const authority = request.method === "CONNECT" ? request.target : (request.get("host") ?? "");
  if (!URL.canParse(`http://${authority}`)) throw ProxyError.httpStatus(400, `no destination: ${authority}`);
  const { hostname, port } = new URL(`http://${authority}`);
  return { hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80) };
}

const server = new Server();
const proxy = httpProxy(server, app, { allowConnect: true }).listenTcp(listen);
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
