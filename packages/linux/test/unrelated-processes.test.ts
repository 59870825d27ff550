import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { receiveListeners } from "../src/handover/receive-listeners.ts";
import { sendListeners } from "../src/handover/send-listeners.ts";
import { descriptorOf } from "../src/sockets/descriptor-of.ts";

const library = path.join(import.meta.dirname, "../src/index.ts");

let folder: string;
let sockPath: string;
let children: ChildProcess[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sluice-processes-"));
  sockPath = path.join(folder, "upgrade.sock");
  children = [];
});

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  rmSync(folder, { recursive: true });
});

/** A process that runs `program`, with the library in scope; its lines come one by one. */
function start(program: string, [command, ...args]: [string, ...string[]] = [process.execPath]) {
  const prelude = `import net from "node:net"; import * as linux from ${JSON.stringify(library)};
    const sockPath = ${JSON.stringify(sockPath)}; const say = (line) => console.log(line);`;
  const child = spawn(command, [...args, "--input-type=module", "--eval", `${prelude}\n${program}`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, line: async () => ((await lines.next()) as { value: string | undefined }).value };
}

const OLD = `
  const server = net.createServer((socket) => socket.end("old"));
  server.listen(0, "127.0.0.1", () => say(server.address().port));
  process.stdin.once("data", async () => {
    const peer = await linux.sendListeners(sockPath, [{ address: "a", fd: linux.descriptorOf(server) }]);
    say(peer.pid);
    server.close();
  });
  process.stdin.unref?.();`;

const NEW = `
  const received = await linux.receiveListeners(sockPath, { onListening: () => say("waiting") });
  const server = net.createServer((socket) => socket.end("new"));
  server.listen({ fd: received.listeners[0].fd }, async () => {
    say(await received.serving());
    say(received.from.pid);
  });`;

test("one takes over from the other while clients come, and refuses none", async () => {
  const old = start(OLD);
  const port = Number(await old.line());
  const next = start(NEW);
  expect(await next.line()).toBe("waiting");
  const answers: string[] = [];
  const enough = new AbortController();
  const clients = Array.from({ length: 4 }, async () => {
    while (!enough.signal.aborted) answers.push(await ask(port));
  });
  await expect.poll(() => answers.length).toBeGreaterThan(20);
  old.child.stdin.end("go\n");
  expect(await next.line()).toBe("draining");
  expect([await old.line(), await next.line()]).toEqual([String(next.child.pid), String(old.child.pid)]);
  expect(await once(old.child, "exit")).toEqual([0, null]);
  const until = answers.length + 20;
  await expect.poll(() => answers.length).toBeGreaterThan(until);
  enough.abort();
  await Promise.all(clients);
  expect(new Set(answers)).toEqual(new Set(["old", "new"]));
  expect(await ask(port)).toBe("new");
});

test("a new process that may not have that many descriptors says so, and the old one hears it", async () => {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const fd = descriptorOf(server);
  const program = `await linux.receiveListeners(sockPath).catch((error) => say(error.code + " " + error.message));
    say(process.getActiveResourcesInfo().length);`;
  const next = start(program, ["/bin/sh", "-c", 'ulimit -n 80 && exec "$0" "$@"', process.execPath]);
  const listeners = Array.from({ length: 200 }, () => ({ address: "a", fd }));
  await expect(sendListeners(sockPath, listeners)).rejects.toMatchObject({
    message: /the new process refused: .*RLIMIT_NOFILE/,
  });
  expect(await next.line()).toMatch(/^EMFILE .*descriptors were lost/);
  server.close();
});

/** Only root can become somebody else. */
describe.runIf(process.getuid!() === 0)("another user (when the tests run as root)", () => {
  /** What `nobody` runs; plain Node, for the sources may lie where only root can read. */
  const stranger = (program: string): ChildProcess => {
    const child = spawn(process.execPath, ["--eval", program], { uid: 65_534, gid: 65_534, stdio: "ignore" });
    children.push(child);
    return child;
  };

  test("cannot send sockets, not even where it can connect", async () => {
    const refused = Promise.withResolvers<unknown>();
    chmodSync(folder, 0o755);
    const receiving = receiveListeners(sockPath, {
      allowedUids: [1, 2],
      onListening: () => stranger(`require("net").connect(${JSON.stringify(sockPath)})`),
      onRefused: refused.resolve,
    });
    expect(await refused.promise).toMatchObject({
      code: "EPERM",
      message: /belongs to the user 65534, this one to 0; a hand-over needs the same user$/,
    });
    const sending = sendListeners(sockPath, []);
    await (await receiving).serving();
    await sending;
  });

  test("gets none", async () => {
    chmodSync(folder, 0o777);
    stranger(`require("net").createServer().listen(${JSON.stringify(sockPath)})`);
    await expect(sendListeners(sockPath, [])).rejects.toMatchObject({ code: "EPERM" });
  });

  test("that is allowed can send", async () => {
    chmodSync(folder, 0o755);
    const hello = JSON.stringify({ type: "hello", version: 1, count: 0 });
    const received = await receiveListeners(sockPath, {
      allowedUids: [65_534],
      onListening: () => stranger(`require("net").connect(${JSON.stringify(sockPath)}).write('${hello}\\n')`),
    });
    expect(received.from.uid).toBe(65_534);
    await received.refuse("test");
  });
});

/** What a server sends to who connects. */
async function ask(port: number): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}
