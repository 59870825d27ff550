import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { Origin } from "./support/origin.ts";

test("clients of a denied network are turned away and named, others are served", async () => {
  await using origin = await Origin.start("hello");
  await using example = await Example.start("connection-filter", "LISTEN", origin.address, "127.7.0.0/16", "::1/128");
  const [url] = example.urls as [string];
  const address = new URL(url);

  const denied: Socket = connect({ host: address.hostname, port: Number(address.port), localAddress: "127.7.0.1" });
  await once(denied, "connect");
  const from = `127.7.0.1:${denied.localPort!}`;
  let received = "";
  denied.setEncoding("latin1").on("data", (text: string) => (received += text));
  await once(denied, "close");
  expect(received).toBe("");
  expect(await example.line(/^refused/)).toBe(`refused ${from}`);
  expect(origin.requests).toBe(0);

  expect(await (await fetch(url)).text()).toBe("hello");
  expect(await example.stop()).toBe(0);
  expect(example.lines.filter((line) => line.startsWith("refused"))).toHaveLength(1);
});
