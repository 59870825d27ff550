import { expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { NOBODY, Origin } from "./support/origin.ts";

test("the path chooses the group, whose dead backend gets nothing", async () => {
  await using one = await Origin.start("one");
  await using two = await Origin.start("two");
  await using example = await Example.start(
    "multi-lb",
    "LISTEN",
    `${one.address},${NOBODY}`,
    `${NOBODY},${two.address}`,
  );
  const [url] = example.urls as [string];
  for (let turn = 0; turn < 4; turn++) {
    for (const [path, group] of [
      ["/one/", "one"],
      ["/one/x", "one"],
      ["/one", "two"],
      ["/", "two"],
    ] as const) {
      const response = await fetch(url + path);
      expect([response.status, await response.text()]).toEqual([200, group]);
    }
  }
  expect(await example.stop()).toBe(0);
});

test("a group without a backend that is up fails alone", async () => {
  await using one = await Origin.start("one");
  await using example = await Example.start("multi-lb", "LISTEN", one.address, NOBODY);
  const [url] = example.urls as [string];
  expect((await fetch(`${url}/two/`)).status).toBe(503);
  expect(await (await fetch(`${url}/one/`)).text()).toBe("one");
});
