import { existsSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { devNull, tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HttpService } from "../services/http-service.ts";
import { ListeningSockets } from "./listening-sockets.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sluice-sockets-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = (name: string): string => path.join(folder, name);

/** Of a server that listens on these files. */
function sockets(...names: string[]): ListeningSockets {
  const service = new HttpService("web", { handleRequest: async () => undefined });
  for (const name of names) service.listenUnix(file(name));
  return new ListeningSockets([service]);
}

test.each([
  { borrowed: ["kept"], tookOver: true, left: ["kept"] },
  { borrowed: ["kept", "gone"], tookOver: true, left: ["kept", "gone"] },
  { borrowed: [], tookOver: true, left: [] },
  { borrowed: [], tookOver: false, left: ["kept", "gone"] },
])("files of Unix sockets of the one before: $borrowed borrowed, taken over: $tookOver", async (row) => {
  const before = sockets("kept", "gone");
  await before.reserve();
  const after = sockets("kept");
  const keys = row.borrowed.map((name) => `unix:${file(name)}`);
  // The descriptor that nobody wants is closed, whatever it is.
  const fds = [...before.fds].map(([key, fd]) => [key, key.endsWith("gone") ? openSync(devNull, "r") : fd] as const);
  after.adopt(new Map(fds), keys);
  expect(after.borrowed).toEqual(keys.filter((key) => key.endsWith("kept")));
  if (row.tookOver) after.tookOver();
  after.close();
  expect(["kept", "gone"].filter((name) => existsSync(file(name)))).toEqual(row.left);
});
