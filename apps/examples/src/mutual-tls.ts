// Both sides show certificates: clients to us, or they do not get in; and we to the upstream. Who the client is goes up as a field.
//
//   node apps/examples/src/mutual-tls.ts LISTEN UPSTREAM UPSTREAM_NAME FOLDER
//   curl --cacert FOLDER/ca.pem --cert client.pem --key client.key https://localhost:8443/
//
// In FOLDER, in PEM: server.pem and server.key, what clients are shown; clients-ca.pem, who may have issued theirs; own.pem and
// own.key, what the upstream is shown; upstream-ca.pem, who must have issued the upstream's.
import { readFileSync } from "node:fs";
import path from "node:path";
import { Server, type PeerOptions, type TlsListenSettings } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { opensslTls } from "@sluice/tls-openssl";

const [listen, upstream, upstreamName, folder] = process.argv.slice(2);
if (listen === undefined || upstream === undefined || upstreamName === undefined || folder === undefined) {
  console.error("usage: node mutual-tls.ts 127.0.0.1:8443 10.0.0.7:443 api.internal /etc/mutual-tls");
  process.exit(2);
}
const file = (name: string): string => path.join(folder, name);

/** Of these the provider watches the files. */
const settings: TlsListenSettings = {
  certificates: [{ cert: { file: file("server.pem") }, key: { file: file("server.key") } }],
  clientCertificates: { mode: "require", ca: { file: file("clients-ca.pem") } },
};

/** These are read once. What is shown and who is trusted counts for the pool, too: no other peer shares these connections. */
const options: PeerOptions = {
  tls: true,
  sni: upstreamName,
  ca: readFileSync(file("upstream-ca.pem"), "utf8"),
  clientCert: { cert: readFileSync(file("own.pem"), "utf8"), key: readFileSync(file("own.key"), "utf8") },
};

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,
  upstreamPeer: () => new HttpPeer(upstream, options),
  upstreamRequestFilter(session, outgoing) {
    const certificate = session.digest.tls?.peerCertificate;
    // With `require` there is always one that verifies; with `request` this would be the place to look.
    if (certificate?.verified !== true) throw new Error("a client without a verified certificate came in");
    // RFC 9440: the upstream believes us, so nothing that a client sends under these names may pass.
    outgoing.set("Client-Cert", `:${Buffer.from(certificate.raw).toString("base64")}:`);
    outgoing.remove("client-cert-chain");
    // The same for people; a subject can have letters that no field may have.
    outgoing.set("X-Client", encodeURI(certificate.subject.replaceAll("\n", ",")));
  },
};

const server = new Server();
const proxy = httpProxy(server, app, { tls: opensslTls() }).listenTls(listen, settings);
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
