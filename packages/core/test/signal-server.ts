// A server for server.test.ts: tells on standard output what happens, and answers once a line comes by standard input.
import { ResponseHeader } from "@sluice/http";
import { HttpService, Server } from "../src/index.ts";

const released = new Promise<void>((resolve) => process.stdin.once("data", () => resolve()));
process.stdin.unref?.();

const service = new HttpService("web", {
  handleRequest: async (session) => {
    console.log("arrived");
    await released;
    if (session.error !== undefined) return;
    session.writeHeader(ResponseHeader.build(200, { "Content-Length": 2 }), false);
    session.writeBody(Buffer.from("ok"));
    session.finish();
  },
}).listenTcp("127.0.0.1:0");

const server = new Server(JSON.parse(process.argv[2] ?? "{}") as object).addService(service).addService({
  name: "announcer",
  start: () => {
    console.log(`listening ${service.addresses[0]!}`);
    return Promise.resolve();
  },
  stop: () => {
    console.log("stopping");
    return Promise.resolve();
  },
});
await server.run();
console.log("over");
