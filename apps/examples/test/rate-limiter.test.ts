import { expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { Origin } from "./support/origin.ts";

test("a client's requests over the limit get 429; others are not concerned", async () => {
  await using origin = await Origin.start("hello");
  // A window that the test stays in.
  await using example = await Example.start("rate-limiter", "LISTEN", origin.address, "1", "3600000");
  const [url] = example.urls as [string];
  const ask = (appid?: string): Promise<Response> => fetch(url, appid === undefined ? {} : { headers: { appid } });

  expect((await ask("1")).status).toBe(200);
  for (let turn = 0; turn < 2; turn++) {
    const refused = await ask("1");
    expect(refused.status).toBe(429);
    const names = ["x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset", "connection"];
    expect(names.map((name) => refused.headers.get(name))).toEqual(["1", "0", "3600", "close"]);
  }
  expect((await ask("2")).status).toBe(200);
  for (let turn = 0; turn < 3; turn++) expect((await ask()).status).toBe(200);
  expect(origin.requests).toBe(5);
  expect(await example.stop()).toBe(0);
});
