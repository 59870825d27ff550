import { expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { Origin } from "./support/origin.ts";

test("requests with the code pass, all others get 403 and reach no origin", async () => {
  await using origin = await Origin.start((request, response) => response.end(String(request.headers.authorization)));
  await using example = await Example.start("use-module", "LISTEN", origin.address);
  const [url] = example.urls as [string];
  const ask = async (authorization?: string): Promise<[number, string]> => {
    const response = await fetch(url, { headers: authorization === undefined ? {} : { authorization } });
    return [response.status, await response.text()];
  };

  expect(await ask("basic testcode")).toEqual([200, "undefined"]);
  expect(await ask()).toEqual([403, ""]);
  expect(await ask("basic guess")).toEqual([403, ""]);
  expect(origin.requests).toBe(1);
  expect(await example.stop()).toBe(0);
});
