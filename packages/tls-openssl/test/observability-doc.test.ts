import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { tlsChannels } from "@sluice/core";
import { EventLog } from "@sluice/core/testing";
import { selfSignedCertificate } from "@sluice/tls-openssl";
import { expect, test } from "vitest";
import { docTable } from "../../proxy/test/support/doc-table.ts";
import { TlsProxy } from "./support/proxy.ts";

test("the document names the channels of TLS, and what each message holds", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "sluice-tls-"));
  const { cert, key } = selfSignedCertificate({ names: ["a.test"] });
  const file = path.join(folder, "a.pem");
  writeFileSync(file, cert);
  const log = new EventLog(...Object.values(tlsChannels));
  await using proxy = await TlsProxy.start({ listen: { certificates: [{ cert: { file }, key }], reloadMs: 5 } });
  await fetch(`http://${proxy.address}/`);
  const failed = await log.next("tls:handshake-failed");
  writeFileSync(file, `${cert}\n`);
  const reloaded = await log.next("tls:reloaded");
  log[Symbol.dispose]();
  rmSync(folder, { recursive: true });

  const documented = (await docTable("observability.md", "channel"))
    .filter(([channel]) => channel!.includes("sluice:tls:"))
    .map(([channel, , message]) => [namesIn(channel!)[0], namesIn(message!).toSorted()]);
  expect(documented).toEqual([
    ["sluice:tls:handshake-failed", Object.keys(failed).toSorted()],
    ["sluice:tls:reloaded", Object.keys(reloaded).toSorted()],
  ]);
});

/** What stands between backticks. */
function namesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
}
