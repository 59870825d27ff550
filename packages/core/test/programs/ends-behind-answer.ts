// Answers a request with "answer", and ends in the same turn of the event loop, as its argument says: `exit`, or `throw`, which nobody catches.
import { ResponseHeader } from "@sluice/http";
import { HttpService } from "../../src/index.ts";

const [, , end] = process.argv;

const service = new HttpService("ends", {
  handleRequest: (session) => {
    session.writeHeader(ResponseHeader.build(200, { "Content-Length": 6 }), false);
    session.writeBody(Buffer.from("answer"));
    session.finish();
    process.nextTick(() => {
      if (end === "exit") process.exit(0);
      throw new Error("nobody catches this");
    });
    return Promise.resolve();
  },
}).listenTcp("127.0.0.1:0");
await service.start();
process.stdout.write(`${String(service.addresses[0])}\n`);
