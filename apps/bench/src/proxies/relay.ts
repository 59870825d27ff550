// No proxy at all, but what a proxy on Node.js costs before its first line of HTTP: what one side sends is written to the other, byte for
// byte, with a connection to the origin for each of a client. It stands on Sluice's own sockets and TLS, which cost less than Node's.
import { connect, createServer, type Socket } from "node:net";
import { SocketReader } from "@sluice/core";
import { opensslTls } from "@sluice/tls-openssl";
import { adoptSocket } from "../../../../packages/core/src/net/adopt-socket.ts";
import { sluiceArgs } from "./sluice-args.ts";

/** Up to here Node writes a string from memory of its own, and the buffer that was read into can be used again. */
const MAX_TEXT_BYTES = 16_000;

const { port, originPort, certificate } = sluiceArgs();
const acceptor =
  certificate &&
  (await opensslTls().listen({
    certificates: [{ cert: { file: certificate.cert }, key: { file: certificate.key } }],
    minVersion: "1.3",
  }));

createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true }, (socket) => {
  if (acceptor === undefined) relay(adoptSocket(socket, new SocketReader(false))!);
  else acceptor.accept(socket).then(({ stream }) => relay(stream as Socket), ignore);
}).listen(port, "127.0.0.1", 4096);

function relay(client: Socket): void {
  const reader = new SocketReader(false);
  const upstream = connect({ port: originPort, host: "127.0.0.1", noDelay: true, onread: reader.onread });
  reader.attach(upstream);
  pass(client, upstream);
  pass(upstream, client);
}

/** Writes what comes from one side to the other, at its pace. */
function pass(from: Socket, to: Socket): void {
  const reader = SocketReader.of(from)!;
  reader.start({
    onData(buffer, end) {
      if (end <= MAX_TEXT_BYTES) {
        to.write(buffer.toString("latin1", 0, end), "latin1");
      } else if (reader.isShared(buffer)) {
        reader.useOwnBuffer(true);
        to.write(Buffer.from(buffer.subarray(0, end)));
      } else {
        to.write(buffer.subarray(0, end));
        if (to.writableLength > 0) reader.keep();
      }
      if (to.writableLength < to.writableHighWaterMark) return;
      from.pause();
      to.once("drain", () => from.resume());
    },
  });
  from.on("error", ignore).on("end", () => to.end());
  from.on("close", () => to.destroy());
  from.resume();
}

function ignore(): void {}
