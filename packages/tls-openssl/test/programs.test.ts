import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { testWith } from "../../../test/programs.ts";
import { files, run } from "./support/programs.ts";
import { TlsProxy, type ProxySetup } from "./support/proxy.ts";

const ca = certificateAuthority("Programs");
const certificate = ca.issue({ names: ["a.test"] });
const listen = { certificates: [certificate] };
const folder = mkdtempSync(path.join(tmpdir(), "sluice-tls-"));
const trusted = files(folder, { "ca.pem": ca.cert })["ca.pem"];

const origin = createServer((request, response) => {
  const from = request.headers["x-client"];
  response.end(`hello ${typeof from === "string" ? from : "you"}\n`);
});
let originAddress = "";

beforeAll(async () => {
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  originAddress = `127.0.0.1:${(origin.address() as AddressInfo).port}`;
});

afterAll(() => {
  origin.close();
  rmSync(folder, { recursive: true });
});

function start(setup: ProxySetup): Promise<TlsProxy> {
  return TlsProxy.start({ origin: originAddress, ...setup });
}

describe("curl", () => {
  function args(proxy: TlsProxy, ...more: string[]): string[] {
    const url = `https://a.test:${proxy.port}/`;
    return ["-sS", "--resolve", `a.test:${proxy.port}:127.0.0.1`, "--cacert", trusted, ...more, url];
  }

  testWith("curl", "verifies and is served, one request after another on one connection", async ({ curl }) => {
    await using proxy = await start({ listen });
    const again = `https://a.test:${proxy.port}/again`;
    const ran = await run(curl, [
      ...args(proxy, "-w", "%{num_connects} %{ssl_verify_result} %{http_version}\n"),
      again,
    ]);
    expect(ran).toEqual({ code: 0, stdout: "hello you\n1 0 2\nhello you\n0 0 2\n", stderr: "" });
  });

  testWith("curl", "is known by its certificate", async ({ curl }) => {
    const client = ca.issue({ usage: "client", commonName: "curl 1" });
    const paths = files(folder, { "client.pem": client.cert, "client.key": client.key });
    await using proxy = await start({
      listen: { ...listen, clientCertificates: { mode: "require", ca: ca.cert } },
      app: {
        upstreamRequestFilter(session, request) {
          request.set("x-client", session.digest.tls?.peerCertificate?.subject ?? "nobody");
        },
      },
    });
    const shown = ["--cert", paths["client.pem"], "--key", paths["client.key"]];
    expect(await run(curl, args(proxy, ...shown))).toMatchObject({ code: 0, stdout: "hello CN=curl 1\n" });

    const without = await run(curl, args(proxy));
    expect(without.code).not.toBe(0);
    expect(without.stderr).toMatch(/certificate required/);
    expect(await proxy.logged("TLS handshake failed")).toMatchObject({
      level: 30,
      client: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
      detail: "cert-missing",
      hint: "the client has no certificate, and clientCertificates requires one",
    });
    expect(proxy.service.failedHandshakeCount).toBe(1);
  });

  testWith("curl", "whose certificate is not accepted reads it, in HTTP/1", async ({ curl }) => {
    const client = certificateAuthority("Others").issue({ usage: "client", commonName: "curl 2" });
    const paths = files(folder, { "other.pem": client.cert, "other.key": client.key });
    await using proxy = await start({
      listen: { ...listen, clientCertificates: { mode: "require", ca: ca.cert } },
    });
    const shown = ["--cert", paths["other.pem"], "--key", paths["other.key"], "-w", "%{http_code}"];
    const reason = "This server does not accept the certificate of the client\n";
    expect(await run(curl, args(proxy, "--http1.1", ...shown))).toMatchObject({ code: 0, stdout: `${reason}400` });
    expect((await run(curl, args(proxy, ...shown))).code).not.toBe(0);
    expect(await proxy.logged("TLS handshake failed")).toMatchObject({ detail: "cert-unknown-issuer" });
    expect(proxy.service.failedHandshakeCount).toBe(2);
  });

  testWith("curl", "that does not believe us is understood, and disturbs nobody", async ({ curl }) => {
    await using proxy = await start({ listen });
    const strangers = files(folder, { "others.pem": certificateAuthority("Others").cert })["others.pem"];
    const refused = await run(curl, args(proxy, "--cacert", strangers));
    expect(refused.stderr).toMatch(/certificate problem/);
    expect(await proxy.logged("TLS handshake failed")).toMatchObject({
      detail: "cert-refused",
      error: expect.stringContaining("unknown ca") as string,
      hint: expect.stringContaining("does not accept our certificate") as string,
    });
    expect(await run(curl, args(proxy))).toMatchObject({ code: 0, stdout: "hello you\n" });
  });

  testWith("curl", "that speaks plaintext to the TLS port reads why", async ({ curl }) => {
    await using proxy = await start({ listen });
    const ran = await run(curl, ["-sS", "-w", "%{http_code}", `http://${proxy.address}/`]);
    expect(ran).toMatchObject({ code: 0, stdout: "This port speaks TLS: use https:// instead of http://\n400" });
    expect(await proxy.logged("TLS handshake failed")).toMatchObject({
      detail: "not-tls",
      hint: "the client speaks plaintext to a TLS port: is it http:// instead of https://?",
    });
  });

  testWith("curl", "that speaks TLS to a plaintext port is told in the log", async ({ curl }) => {
    await using proxy = await start({});
    const ran = await run(curl, ["-sS", "-k", `https://${proxy.address}/`]);
    expect(ran.code).not.toBe(0);
    expect(await proxy.logged("request failed")).toMatchObject({
      source: "downstream",
      status: 400,
      hint: "the client speaks TLS to a plaintext port: is it https:// instead of http://?",
    });
  });

  testWith("curl", "takes 50 MB whole", async ({ curl }) => {
    await using proxy = await start({
      listen,
      app: {
        requestFilter: (session) => session.respond(200, { body: Buffer.alloc(52_428_800, 0x61) }),
      },
    });
    const ran = await run(curl, args(proxy, "-o", "/dev/null", "-w", "%{size_download} %{http_code}"));
    expect(ran).toMatchObject({ code: 0, stdout: "52428800 200" });
  });
});

describe("openssl s_client", () => {
  function args(proxy: TlsProxy, ...more: string[]): string[] {
    const where = ["-connect", proxy.address, "-servername", "a.test", "-CAfile", trusted, "-verify_return_error"];
    return ["s_client", ...where, "-ign_eof", ...more];
  }
  const REQUEST = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

  testWith("openssl", "is served, and told that we end", async ({ openssl }) => {
    await using proxy = await start({ listen });
    const { code, stdout, stderr } = await run(openssl, args(proxy), REQUEST);
    expect(code).toBe(0);
    expect(stdout).toContain("Verify return code: 0 (ok)");
    expect(stdout).toContain("hello you");
    // It would say so if the connection ended without a close_notify.
    expect(stderr).not.toContain("unexpected eof");
  });

  testWith("openssl", "resumes a session in another process, by the key they share", async ({ openssl }) => {
    const key = { file: files(folder, { "ticket.key": randomBytes(48) })["ticket.key"] };
    const session = path.join(folder, "session.pem");
    {
      await using first = await start({ listen: { ...listen, ticketKey: key } });
      const { stdout } = await run(openssl, args(first, "-sess_out", session), REQUEST);
      expect(stdout).toMatch(/^New, TLSv1\.3/m);
    }
    await using second = await start({ listen: { ...listen, ticketKey: key } });
    const { stdout } = await run(openssl, args(second, "-sess_in", session), REQUEST);
    expect(stdout).toMatch(/^Reused, TLSv1\.3/m);
    await using third = await start({ listen });
    expect((await run(openssl, args(third, "-sess_in", session), REQUEST)).stdout).toMatch(/^New, TLSv1\.3/m);
  });

  for (const [options, detail] of [
    ["-tls1_1", "tls-version"],
    ["-tls1_2 -cipher AES128-SHA", "tls-parameters"],
    ["-alpn spdy/1", "tls-alpn"],
  ] as const) {
    testWith("openssl", `${options} is refused, and the log says why: ${detail}`, async ({ openssl }) => {
      await using proxy = await start({ listen });
      await run(openssl, args(proxy, ...options.split(" ")), REQUEST);
      expect(await proxy.logged("TLS handshake failed")).toMatchObject({ detail, hint: expect.any(String) as string });
    });
  }

  for (const [options, reason] of [
    ["-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", "HTTP/2 must not be spoken with TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"],
    ["-tls1_1 -cipher DEFAULT@SECLEVEL=0", "HTTP/2 needs TLS 1.2 at least, not TLSv1.1"],
  ] as const) {
    testWith("openssl", `${options} has HTTP/1 and no HTTP/2, and is told why`, async ({ openssl }) => {
      await using proxy = await start({ listen: { ...listen, minVersion: "1.0" } });
      const served = await run(openssl, args(proxy, ...options.split(" "), "-alpn", "http/1.1"), REQUEST);
      expect(served.stdout).toContain("hello you");
      const refused = await run(openssl, args(proxy, ...options.split(" "), "-alpn", "h2"));
      expect(refused.stdout).toContain(reason);
      expect(await proxy.logged("TLS handshake failed")).toMatchObject({
        detail: "tls-parameters",
        error: expect.stringContaining(reason) as string,
        hint: expect.any(String) as string,
      });
    });
  }

  testWith("openssl", "staples what a file holds", async ({ openssl }) => {
    // Any response will do: it is not looked into.
    const issued = files(folder, { "o.pem": certificate.cert, "o.key": certificate.key });
    const cert = { file: issued["o.pem"] };
    const ocsp = { file: files(folder, { "o.der": ocspResponse() })["o.der"] };
    await using proxy = await start({ listen: { certificates: [{ cert, key: { file: issued["o.key"] }, ocsp }] } });
    const { stdout } = await run(openssl, args(proxy, "-status"), REQUEST);
    expect(stdout).toContain("OCSP Response Status: trylater (0x3)");
  });

  testWith("openssl", "secrets go to the key log of both sides", async ({ openssl }) => {
    const keyLogFile = path.join(folder, "secrets.txt");
    await using upstream = await start({ listen });
    await using proxy = await start({
      listen,
      origin: upstream.address,
      peer: { tls: true, sni: "a.test", ca: ca.cert },
      tls: { keyLogFile },
    });
    const { stdout } = await run(openssl, args(proxy), REQUEST);
    expect(stdout).toContain("hello you");
    const lines = readFileSync(keyLogFile, "utf8").split("\n");
    const randoms = new Set(
      lines.filter((line) => line.startsWith("CLIENT_TRAFFIC_SECRET_0 ")).map((line) => line.split(" ")[1]),
    );
    expect(randoms.size).toBe(2);
  });
});

/** An OCSP response that says to try again later (RFC 6960, section 4.2.1), which needs no signature. */
function ocspResponse(): Buffer {
  return Buffer.of(0x30, 0x03, 0x0a, 0x01, 0x03);
}
