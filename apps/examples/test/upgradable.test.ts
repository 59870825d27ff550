import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { Origin } from "./support/origin.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), "sluice-upgradable-"))));
afterEach(() => rmSync(folder, { recursive: true }));

test("the next one takes its place, at the same address", async () => {
  await using origin = await Origin.start((_request, response) => response.end("hello"));
  const file = path.join(folder, "proxy.yaml");
  const keys = { listen: "127.0.0.1:0", upstream: origin.address, upgrade_sock: path.join(folder, "upgrade.sock") };
  writeFileSync(file, JSON.stringify(keys));
  await using old = await Example.start("upgradable", "--conf", file);
  await using next = new Example("upgradable", ["--conf", file, "--upgrade"]);
  old.signal("SIGQUIT");
  await next.line(/^listening on /);
  expect(next.urls).toEqual(old.urls);
  expect(await old.exited).toBe(0);
  const response = await fetch(next.urls[0]!);
  expect(await response.text()).toBe("hello");
  expect(await next.stop()).toBe(0);
});
