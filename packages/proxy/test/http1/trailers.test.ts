import { expect, test } from "vitest";
import { answering } from "../support/origin.ts";
import { startProxy } from "../support/proxy.ts";

const GET_1_0 = "GET / HTTP/1.0\r\n\r\n";
const ANSWER = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Secret: s\r\n\r\n";

test("trailers of a response reach no client of HTTP/1.0, but bytes that they become do", async () => {
  await using origin = await answering(ANSWER);
  let calls = 0;
  await using proxy = await startProxy({
    origin,
    responseTrailerFilter: () => (calls++ === 0 ? undefined : Buffer.from("!")),
  });
  expect((await (await proxy.send(GET_1_0)).message()).body.toString()).toBe("body");
  expect((await (await proxy.send(GET_1_0)).message()).body.toString()).toBe("body!");
});
