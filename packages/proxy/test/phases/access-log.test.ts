import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { AccessLog, type AccessLogOptions, type ProxyHttp } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK, refusedAddress } from "../support/origin.ts";
import { get } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, answering, startProxy }) => {
  function logTo(lines: string[], format?: AccessLogOptions["format"]): Pick<ProxyHttp<object>, "logging"> {
    const access = new AccessLog({ to: { write: (line) => void lines.push(line) }, ...(format && { format }) });
    return { logging: (session, error) => access.write(session, error) };
  }

  describe("a line for each request", () => {
    test("combined, unless something else is said", async () => {
      const lines: string[] = [];
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin, ...logTo(lines) });
      const head = 'GET /x HTTP/1.1\r\nHost: test\r\nUser-Agent: a "b"\r\nReferer: http://r/\r\n\r\n';
      await (await proxy.send(head)).message();
      await proxy.whenFinished();
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain(leg.downstream === 1 ? "HTTP/1.1" : "HTTP/2");
      expect(lines[0]).toMatch(
        /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/x HTTP\/\d(?:\.1)?(?:\.0)?" 200 \d+ "http:\/\/r\/" "a \\x22b\\x22"\n$/,
      );
    });

    test("JSON, with the upstream, the id and the error", async () => {
      const lines: string[] = [];
      const refused = await refusedAddress();
      await using proxy = await startProxy(
        { origin: { address: refused }, ...logTo(lines, "json") },
        { requestId: { generate: () => "id-1" } },
      );
      await (await proxy.send(get())).message();
      await proxy.whenFinished();
      expect(JSON.parse(lines[0]!)).toMatchObject({
        requestId: "id-1",
        status: 502,
        upstream: refused,
        reused: false,
        ended: "complete",
        error: expect.stringContaining("ConnectRefused") as string,
      });
    });

    test("by a function, which may leave lines out, and which may fail", async () => {
      const lines: string[] = [];
      await using origin = await answering(OK);
      const format: AccessLogOptions["format"] = ({ target, status }) => {
        if (target === "/bad") throw new Error("no line");
        return target === "/health" ? undefined : `${status} ${target}`;
      };
      await using proxy = await startProxy({ origin, ...logTo(lines, format) });
      for (const target of ["/a", "/health", "/bad", "/b"]) {
        await (await proxy.send(`GET ${target} HTTP/1.1\r\nHost: test\r\n\r\n`)).message();
      }
      await proxy.whenFinished(4);
      expect(lines).toEqual(["200 /a\n", "200 /b\n"]);
      expect(proxy.logs.map(({ msg }) => msg)).toContain("a line of the access log could not be made");
    });

    test("into a file", async () => {
      const folder = mkdtempSync(path.join(tmpdir(), "sluice-access-"));
      const file = path.join(folder, "access.log");
      const access = new AccessLog({ to: file, format: ({ target }) => target });
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin, logging: (session, error) => access.write(session, error) });
      for (const target of ["/a", "/b"]) {
        await (await proxy.send(`GET ${target} HTTP/1.1\r\nHost: test\r\n\r\n`)).message();
      }
      await proxy.whenFinished(2);
      access.close();
      await expect.poll(() => readFileSync(file, "utf8")).toBe("/a\n/b\n");
      rmSync(folder, { recursive: true });
    });
  });

  test("options that cannot be", () => {
    const make = (options: object) => () => new AccessLog(options as AccessLogOptions);
    expect(make({ to: { write: () => undefined }, format: "nginx" })).toThrow(
      'format: expected common, combined, json or a function, got "nginx"',
    );
    expect(make({ to: 5 })).toThrow("to: expected a path, or an object with write()");
    expect(make({ to: "/no/such/folder/access.log" })).toThrow("ENOENT");
    expect(make({ too: "x" })).toThrow("unknown option too; did you mean to?");
  });
});
