import { expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { Origin } from "./support/origin.ts";

test("spreads requests over its backends, and goes on when one of them dies", async () => {
  await using one = await startOrigin("one");
  await using two = await startOrigin("two");
  await using example = await Example.start("load-balancer", "LISTEN", one.address, two.address);
  const [url] = example.urls as [string];

  const before = await Promise.all(Array.from({ length: 10 }, () => ask(url)));
  expect(before.filter((answer) => answer === "one from 127.0.0.1")).toHaveLength(5);
  expect(before.filter((answer) => answer === "two from 127.0.0.1")).toHaveLength(5);

  await two.close();
  for (let turn = 0; turn < 10; turn++) expect(await ask(url)).toBe("one from 127.0.0.1");

  expect(await example.stop()).toBe(0);
});

test("without addresses it says how it is used", async () => {
  await using example = new Example("load-balancer", []);
  expect(await example.exited).toBe(2);
  expect(example.lines[0]).toMatch(/^usage: /);
});

function startOrigin(name: string): Promise<Origin> {
  return Origin.start((request, response) => {
    const client = String(request.headers["x-forwarded-for"]);
    response.end(`${name} from ${client}`);
  });
}

async function ask(url: string): Promise<string> {
  const response = await fetch(url);
  expect(response.status).toBe(200);
  return response.text();
}
