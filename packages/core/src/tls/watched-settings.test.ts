import { mkdtempSync, rmSync } from "node:fs";
import { rename, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { observe, tlsChannels, type TlsReloadedMessage } from "../diagnostics.ts";
import { configureLogs } from "../log/logger.ts";
import { WatchedSettings } from "./watched-settings.ts";

let folder: string;
let file: string;
let lines: Record<string, unknown>[] = [];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-watched-"));
  file = join(folder, "a");
  await writeFile(file, "one");
  lines = [];
  configureLogs({ levels: "info", destination: { write: (line) => lines.push(JSON.parse(line) as object as never) } });
});
afterEach(() => rmSync(folder, { recursive: true }));

function open(make: (text: string) => string = (text) => text): Promise<WatchedSettings<string>> {
  const source = { file };
  return WatchedSettings.open({ deep: [{ source }] }, 5, (read) => make(String(read(source))));
}

function told(): Promise<TlsReloadedMessage> {
  return new Promise((resolve) => {
    const stop = observe(tlsChannels.reloaded, (message) => {
      stop();
      resolve(message);
    });
  });
}

async function replace(text: string): Promise<void> {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}

test("takes what changed, and says so", async () => {
  const watched = await open();
  expect(watched.current).toBe("one");
  const [message] = await Promise.all([told(), replace("two")]);
  expect(message).toEqual({ files: [file], error: undefined });
  expect(watched.current).toBe("two");
  expect(lines).toMatchObject([{ level: 30, msg: "took new TLS files", files: [file] }]);
  watched.close();
});

test("keeps what it had when the new cannot be used, says so once, and goes on looking", async () => {
  let tries = 0;
  const watched = await open((text) => {
    tries++;
    if (text === "bad") throw new Error("it is bad");
    return text;
  });
  const [message] = await Promise.all([told(), replace("bad")]);
  expect(message.error?.message).toMatch(/it is bad/);
  expect(watched.current).toBe("one");
  // Twice, because files are written one after another.
  expect(tries).toBe(3);
  expect(lines).toMatchObject([{ level: 50, msg: expect.stringContaining("those from before stay") as string }]);
  const [next] = await Promise.all([told(), replace("three")]);
  expect(next.error).toBeUndefined();
  expect(watched.current).toBe("three");
  expect(tries).toBe(4);
  watched.close();
});

test("a file that is gone is no reason to stop serving", async () => {
  const watched = await open();
  const [message] = await Promise.all([told(), unlink(file)]);
  expect(message.error?.message).toContain(`cannot read ${file}`);
  expect(watched.current).toBe("one");
  watched.close();
});

test("follows links to where they lead now", async () => {
  const link = join(folder, "link");
  const other = join(folder, "other");
  await writeFile(other, "two");
  await symlink(file, link);
  const source = { file: link };
  const watched = await WatchedSettings.open({ source }, 5, (read) => String(read(source)));
  await symlink(other, `${link}.new`);
  await Promise.all([told(), rename(`${link}.new`, link)]);
  expect(watched.current).toBe("two");
  watched.close();
});

test("a file that cannot be read at first is an error that names it", async () => {
  await unlink(file);
  await expect(open()).rejects.toThrow(`cannot read ${file}`);
});
