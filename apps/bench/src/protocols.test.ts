import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { chooseProtocols, PROTOCOLS, type ProtocolName } from "./protocols.ts";
import { replaceSection, sectionOf } from "./readme.ts";
import { unsuitable } from "./workload.ts";
import { chooseWorkloads } from "./workloads/all.ts";

const NAMES = Object.keys(PROTOCOLS) as ProtocolName[];

test("words become protocols, each once", () => {
  expect(chooseProtocols(["h2", "tls", "h2"])).toEqual(["h2", "tls"]);
  expect(() => chooseProtocols(["tls", "spdy"])).toThrow('not "spdy"');
});

test.each(NAMES)("%s has its yardstick among its contenders, and they can be sent its workloads", (name) => {
  const { contenders, yardstick, workloads } = PROTOCOLS[name];
  expect(contenders.map((contender) => contender.name)).toContain(yardstick);
  for (const workload of chooseWorkloads(workloads)) {
    for (const { wire } of contenders) expect(unsuitable(workload, wire)).toBeUndefined();
  }
});

test.each(NAMES)("the README has a place for the table of %s", async (name) => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  expect(replaceSection(readme, sectionOf("results", name), "a table")).toContain("a table");
});
