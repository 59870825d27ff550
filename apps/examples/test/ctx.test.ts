import { expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { Origin } from "./support/origin.ts";

test("users of the beta see its upstream, and both kinds of requests are counted", async () => {
  await using stable = await Origin.start("stable");
  await using beta = await Origin.start("beta");
  await using example = await Example.start("ctx", "LISTEN", stable.address, beta.address);
  const [url] = example.urls as [string];
  const ask = async (headers: Record<string, string> = {}): Promise<string> => (await fetch(url, { headers })).text();

  expect(await ask()).toBe("stable");
  expect(await ask({ "beta-flag": "1" })).toBe("beta");
  expect(await ask()).toBe("stable");
  expect(await ask({ "beta-flag": "" })).toBe("beta");
  expect(await example.stop()).toBe(0);
  const counts = example.lines.filter((line) => line.includes("request "));
  expect(counts).toEqual(["request 1", "beta user 1, request 2", "request 3", "beta user 2, request 4"]);
});
