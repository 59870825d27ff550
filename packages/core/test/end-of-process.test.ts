import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("programs/ends-behind-answer.ts", import.meta.url));

// What was told as served waits for the end of the turn, which does not come.
test.each(["exit", "throw"])(
  "a response reaches its client though the process ends right behind it: %s",
  async (end) => {
    const child = spawn(process.execPath, [PROGRAM, end], { stdio: ["ignore", "pipe", "ignore"] });
    // Its end may be told before that of its connections.
    const exited = once(child, "exit");
    try {
      const [address] = (await once(child.stdout, "data")) as [Buffer];
      const client = connect(Number(/:(\d+)\n/.exec(address.toString())![1]), "127.0.0.1");
      client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
      expect(await text(client)).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nanswer$/);
      await exited;
    } finally {
      child.kill("SIGKILL");
    }
  },
);
