import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  handoverChannel,
  phaseChannel,
  reloadChannel,
  reloadStartChannel,
  uncaughtErrorChannel,
  workerChannels,
} from "../src/index.ts";

test("docs/observability.md names every channel of a server", () => {
  const text = readFileSync(new URL("../../../docs/observability.md", import.meta.url), "utf8");
  const table = /\| server channel .*?\n\n/s.exec(text)![0];
  const documented = [...table.matchAll(/^\| `(sluice:[^`]+)`/gm)].map(([, name]) => name);
  const channels = [
    phaseChannel,
    handoverChannel,
    reloadStartChannel,
    reloadChannel,
    uncaughtErrorChannel,
    ...Object.values<{ name: string }>(workerChannels),
  ];
  expect(documented).toEqual(channels.map(({ name }) => name));
});
