import { expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { NOBODY, Origin } from "./support/origin.ts";

const WARN = 40;
const ERROR = 50;

test("an upstream that cannot be reached is tried five times, then the client gets 502", async () => {
  await using example = await Example.start("backoff-retry", "LISTEN", NOBODY, "2");
  const [url] = example.urls as [string];
  const response = await fetch(url, { method: "POST", body: "nothing of this was sent" });
  expect(response.status).toBe(502);
  await example.line(/"level":50/);
  const attempts = example.log.filter(({ level }) => level === WARN || level === ERROR);
  expect(attempts.map(({ level, tries }) => [level, tries])).toEqual([
    [WARN, 1],
    [WARN, 2],
    [WARN, 3],
    [WARN, 4],
    [ERROR, 5],
  ]);
  expect(await example.stop()).toBe(0);
});

test("a request is served when the upstream comes back meanwhile", async () => {
  // An address of the loopback network that nobody else takes ports of.
  const away = await Origin.start("hello", "127.77.0.1");
  await away.close();
  await using example = await Example.start("backoff-retry", "LISTEN", away.address);
  const asked = fetch(example.urls[0]!);
  await example.line(/"level":40/);
  await using _back = await Origin.start("hello", "127.77.0.1", Number(away.address.split(":")[1]));
  const response = await asked;
  expect([response.status, await response.text()]).toEqual([200, "hello"]);
});
