import { expect, test } from "vitest";
import { Example } from "./support/example.ts";

test("requests are answered without a network, and its streams are pooled", async () => {
  await using example = await Example.start("virtual-l4", "LISTEN");
  const [url] = example.urls as [string];
  for (const line of [/a new stream/, /a pooled stream/]) {
    const response = await fetch(url, { method: "POST", body: "discarded" });
    expect([response.status, response.headers.get("content-length")]).toEqual([200, "13"]);
    expect(await response.text()).toBe("Hello, world!");
    await example.line(line);
  }
  expect(await example.stop()).toBe(0);
});
