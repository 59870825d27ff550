// A gRPC proxy: by HTTP/2 without TLS and by TLS, for browsers as gRPC-Web, with a rule for a method.
//
//   node apps/examples/src/grpc.ts [LISTEN [LISTEN_TLS [UPSTREAM [METHOD]]]]
//   grpcurl -plaintext 127.0.0.1:8080 list
//   grpcurl -insecure 127.0.0.1:8443 list
//   grpcurl -plaintext -H "authorization: Bearer letmein" 127.0.0.1:8080 grpc.reflection.v1.ServerReflection/ServerReflectionInfo
//
// METHOD is for those alone who know the token.
import { grpcWeb, Server } from "@sluice/core";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { opensslTls, selfSignedCertificate } from "@sluice/tls-openssl";

const [
  listen = "127.0.0.1:8080",
  listenTls = "127.0.0.1:8443",
  upstream = "127.0.0.1:50051",
  method = "/admin.Admin/Shutdown",
] = process.argv.slice(2);

const TOKEN = "Bearer letmein";
/** https://grpc.io/docs/guides/status-codes/ */
const UNAUTHENTICATED = "16";

// HTTP/2 by prior knowledge. Streams may be quiet for as long as they like: a client's deadline, which goes up with its call, ends them.
const peer = new HttpPeer(upstream, { minHttpVersion: 2, readMs: 0, h2PingIntervalMs: 30_000 });

const app: ProxyHttp<undefined> = {
  newCtx: () => undefined,
  initDownstreamModules: (modules) => void modules.add(grpcWeb()),

  earlyRequestFilter(session) {
    session.limits.bodyMs = 0;
  },

  requestFilter(session) {
    // The path of a call is /package.Service/Method.
    if (session.request.path !== method || session.request.get("authorization") === TOKEN) return undefined;
    // An error of gRPC: HTTP is content, and the status is a field.
    const fields = {
      "Content-Type": "application/grpc",
      "grpc-status": UNAUTHENTICATED,
      "grpc-message": "who are you?",
    };
    return session.respond(200, { fields });
  },

  upstreamPeer: () => peer,
};

const server = new Server();
const proxy = httpProxy(server, app, { tls: opensslTls(), http2: { h2c: true } })
  .listenTcp(listen)
  .listenTls(listenTls, { certificates: [selfSignedCertificate({ names: ["localhost", "127.0.0.1"] })] });
const stopped = server.addService(proxy).run();
await server.start();
console.log(`listening on ${proxy.addresses.join(", ")}`);
await stopped;
