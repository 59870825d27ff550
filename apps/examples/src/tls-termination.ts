// TLS ends here: two names, each with a certificate of its own, on one address; and plain HTTP to the upstream.
//
//   node apps/examples/src/tls-termination.ts [LISTEN [UPSTREAM [CERT KEY CERT KEY]]]
//   curl -k -v https://one.localhost:8443/
//   curl -k -v https://two.localhost:8443/
//
// Without files it makes itself certificates, which are gone when it ends. Files are watched: what is new in them is shown to the
// next client, and a file that cannot be used is logged and changes nothing.
import { Server, type TlsCertificate } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { opensslTls, selfSignedCertificate } from "@sluice/tls-openssl";

const [listen = "127.0.0.1:8443", upstream = "127.0.0.1:9001", ...files] = process.argv.slice(2);

const certificates: TlsCertificate[] = [];
for (let at = 0; at + 1 < files.length; at += 2) {
  // Whom it is for is read from it.
  certificates.push({ cert: { file: files[at]! }, key: { file: files[at + 1]! } });
}
if (certificates.length === 0) {
  // The first is also for clients that ask for another name, or for none.
  certificates.push(selfSignedCertificate({ names: ["one.localhost"] }));
  certificates.push(selfSignedCertificate({ names: ["two.localhost"] }));
}

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,
  upstreamPeer: () => new HttpPeer(upstream),
  // The upstream sees plain HTTP: only we can tell it what the client spoke. `set` also replaces what a client claims.
  upstreamRequestFilter(session, outgoing) {
    outgoing.set("X-Forwarded-Proto", "https");
    outgoing.set("X-Tls", `${session.digest.tls?.version} for ${session.digest.tls?.serverName ?? "no name"}`);
  },
};

const server = new Server();
// HTTP/2 for clients that can, by ALPN.
const proxy = httpProxy(server, app, { tls: opensslTls() }).listenTls(listen, { certificates });
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
