import { describe, expect, test } from "vitest";
import type { Message } from "../support/message.ts";
import { OK } from "../support/origin.ts";
import { overLegs } from "../support/over-legs.ts";

// RFC 9110, section 7.6.2.
overLegs(({ startOrigin, startProxy }) => {
  /** What the origin saw, and the answers. */
  async function pass(...heads: string[]): Promise<{ arrived: Message[]; answers: Message[] }> {
    const arrived: Message[] = [];
    await using origin = await startOrigin(async (connection) => {
      for (;;) {
        arrived.push(await connection.message());
        connection.send(OK);
      }
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.connect();
    const answers: Message[] = [];
    for (const head of heads) {
      client.send(head);
      answers.push(await client.message());
    }
    return { arrived, answers };
  }

  const request = (method: string, ...fields: string[]): string =>
    [`${method} /a?b HTTP/1.1`, "Host: test", ...fields, "", ""].join("\r\n");

  test.each(["OPTIONS", "TRACE"])("of %s is counted down by one", async (method) => {
    const { arrived } = await pass(request(method, "Max-Forwards: 10"), request(method, "Max-Forwards: 1"));
    expect(arrived.map((message) => message.field("max-forwards"))).toEqual(["9", "0"]);
  });

  test("of 0 ends OPTIONS here, with an empty answer, and the connection goes on", async () => {
    const { arrived, answers } = await pass(request("OPTIONS", "Max-Forwards: 0"), request("GET"));
    expect(answers[0]!.status).toBe(200);
    expect(answers[0]!.field("content-length")).toBe("0");
    expect(arrived.map(({ startLine }) => startLine)).toEqual(["GET /a?b HTTP/1.1"]);
  });

  test("of 0 ends TRACE here, which is told what came, without secrets", async () => {
    const secrets = ["Cookie: secret=1", "Authorization: Basic secret"];
    const { arrived, answers } = await pass(request("TRACE", "Max-Forwards: 0", ...secrets, "X-Mine: as it came"));
    expect(arrived).toEqual([]);
    expect(answers[0]!.status).toBe(200);
    expect(answers[0]!.field("content-type")).toBe("message/http");
    const told = answers[0]!.body.toString();
    expect(told).toMatch(/^TRACE \/a\?b HTTP\/1\.1\r\n/);
    expect(told.toLowerCase()).toContain("\r\nx-mine: as it came\r\n");
    expect(told).not.toContain("secret");
  });

  describe("counts for nothing else:", () => {
    test.each([
      ["another method", request("GET", "Max-Forwards: 0"), "0"],
      ["what is no number", request("OPTIONS", "Max-Forwards: none"), "none"],
    ])("%s", async (_what, head, passed) => {
      const { arrived } = await pass(head);
      expect(arrived.map((message) => message.field("max-forwards"))).toEqual([passed]);
    });
  });
});
