import { describe, expect, test } from "vitest";
import { OK, Origin } from "../support/origin.ts";
import { startProxy } from "../support/proxy.ts";
import { spawning } from "../support/subrequests.ts";

describe("in the background", () => {
  test("has no body, asks for no other protocol, and can be made in logging", async () => {
    const heads: string[] = [];
    await using origin = await Origin.start(async (connection) => {
      for (;;) {
        const { startLine, field } = await connection.message();
        heads.push([startLine, field("content-length"), field("upgrade")].join("|"));
        connection.send(OK);
      }
    });
    const app = spawning(origin, () => undefined);
    await using proxy = await startProxy({
      ...app,
      logging(session) {
        if (!session.isSubrequest) void session.subrequests!.spawnBackground({ method: "GET", target: "/again" });
      },
    });
    const upgrade = "Connection: upgrade\r\nUpgrade: ws\r\nContent-Length: 2\r\n";
    const client = await proxy.send(`POST /main HTTP/1.1\r\nHost: test\r\n${upgrade}\r\nhi`);
    await client.message();
    await proxy.whenFinished(2);
    expect(heads).toEqual(["POST /main HTTP/1.1|2|ws", "GET /again HTTP/1.1||"]);
  });
});
