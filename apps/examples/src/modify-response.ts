// Changes whole bodies: what the upstream says in JSON, clients get in YAML.
//
//   node apps/examples/src/modify-response.ts [LISTEN [UPSTREAM [MAX_BYTES]]]
//   curl http://127.0.0.1:8080/some.json
import { Server } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { stringify } from "yaml";

const [listen = "127.0.0.1:8080", upstream = "127.0.0.1:9001", maxBytes = "1048576"] = process.argv.slice(2);

const MAX_BYTES = Number(maxBytes);
const NOTHING = new Uint8Array();
const peer = new HttpPeer(upstream);

interface Context {
  /** The pieces of the body so far, if it is one to change. */
  json: Uint8Array[] | undefined;
  bytes: number;
}

const app: ProxyHttp<Context> = {
  newCtx: () => ({ json: undefined, bytes: 0 }),
  upstreamPeer: () => peer,

  upstreamRequestFilter(_session, outgoing) {
    // Only a body that comes whole and plain can be read.
    outgoing.remove("accept-encoding");
    outgoing.remove("range");
  },

  responseFilter(_session, response, ctx) {
    const type = response.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
    if (response.status !== 200 || type !== "application/json" || response.has("content-encoding")) return;
    // We must hold all of it; what says beforehand that it is too much stays as it is.
    if (Number(response.get("content-length") ?? 0) > MAX_BYTES) return;
    ctx.json = [];
    response.set("Content-Type", "application/yaml");
    // Nobody knows the new length yet, so it is sent in chunks; and the tag was that of the JSON.
    response.remove("content-length");
    response.remove("etag");
  },

  responseBodyFilter(session, piece, end, ctx) {
    if (ctx.json === undefined || session.request.method === "HEAD") return undefined;
    if (piece !== undefined) {
      ctx.bytes += piece.length;
      // The head is on its way: all that is left is to cut the response, which throwing does, so that nobody takes it for whole.
      if (ctx.bytes > MAX_BYTES) throw new RangeError(`a JSON body of more than ${MAX_BYTES} bytes`);
      // A piece is there for the call only.
      ctx.json.push(Buffer.from(piece));
    }
    return end ? Buffer.from(stringify(JSON.parse(Buffer.concat(ctx.json).toString()))) : NOTHING;
  },
};

const server = new Server();
const proxy = httpProxy(server, app).listenTcp(listen);
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
