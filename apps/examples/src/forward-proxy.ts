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
  options: { port: { type: "string", multiple: true }, "allow-private": { type: "boolean" } },
});
const [listen = "127.0.0.1:8080"] = positionals;
const ports = new Set((values.port ?? ["80", "443"]).map(Number));
const login = process.env["FORWARD_PROXY_LOGIN"];
if (login === undefined) {
  console.error("usage: FORWARD_PROXY_LOGIN=name:password forward-proxy.ts [LISTEN] [--port PORT]… [--allow-private]");
  process.exit(2);
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
const wanted = digest(`Basic ${Buffer.from(login).toString("base64")}`);

const familyOf = (address: string): "ipv4" | "ipv6" => (isIPv6(address) ? "ipv6" : "ipv4");
/** What only this machine or its network can reach, what leads there in disguise, and what is nobody's (RFC 6890). */
const special = new BlockList();
for (const subnet of `0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
  192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3
  2001::/23 2001:db8::/32 2002::/16 3fff::/20`.split(/\s+/)) {
  const [address = "", prefix] = subnet.split("/");
  special.addSubnet(address, Number(prefix), familyOf(address));
}
/** All of IPv6 that is given out. On a list of its own: a BlockList compares IPv4 with IPv6 subnets, too. */
const unicast = new BlockList();
unicast.addSubnet("2000::", 3, "ipv6");
const isPublic = (address: string): boolean =>
  !special.check(address, familyOf(address)) && (!isIPv6(address) || unicast.check(address, "ipv6"));

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
    if (!values["allow-private"] && !isPublic(address))
      throw ProxyError.httpStatus(403, `${hostname} is ${address}, which is not public`);
    return new HttpPeer(isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`, {
      tunnel: session.request.method === "CONNECT",
    });
  },

  // It was for us.
  upstreamRequestFilter: (_session, outgoing) => void outgoing.remove("proxy-authorization"),
};

/** Of a plain request, which came as `GET http://host/path`, the authority has become Host. */
function destination({ request }: Session): { hostname: string; port: number } {
  const tunnel = request.method === "CONNECT";
  // `GET https://…` must not go in clear text, and `GET /path` is meant for an origin.
  if (!tunnel && request.scheme !== "http") throw ProxyError.httpStatus(400, "neither CONNECT nor an http:// target");
  const authority = tunnel ? request.target : (request.get("host") ?? "");
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
