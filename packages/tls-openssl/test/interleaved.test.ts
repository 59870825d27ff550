import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { expect, test } from "vitest";
import { TlsProxy } from "./support/proxy.ts";

const ca = certificateAuthority();

test("a head that comes in parts stays as it was sent, though other connections are read meanwhile", async () => {
  const sockets: TLSSocket[] = [];
  const waiting = Promise.withResolvers<TLSSocket>();
  const origin = createServer(ca.issue({ names: ["a.test"] }), (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    socket.on("data", (request) => {
      if (String(request).startsWith("GET /slow ")) {
        socket.write("HTTP/1.1 200 OK\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", () => waiting.resolve(socket));
      } else {
        socket.write(`HTTP/1.1 200 OK\r\nX-Fast: ${"b".repeat(200)}\r\nContent-Length: 2\r\n\r\nok`);
      }
    });
  }).listen(0, "127.0.0.1");
  await once(origin, "listening");
  const address = `127.0.0.1:${(origin.address() as AddressInfo).port}`;
  await using proxy = await TlsProxy.start({ origin: address, peer: { tls: true, sni: "a.test", ca: ca.cert } });

  const slow = fetch(`http://${proxy.address}/slow`);
  const socket = await waiting.promise;
  for (let n = 0; n < 5; n++) expect(await (await fetch(`http://${proxy.address}/fast`)).text()).toBe("ok");
  socket.write("\r\nContent-Length: 2\r\n\r\nok");
  const answer = await slow;
  expect(answer.headers.get("x-slow")).toBe("a".repeat(30));
  expect(await answer.text()).toBe("ok");
  for (const open of sockets) open.destroy();
  origin.close();
});
