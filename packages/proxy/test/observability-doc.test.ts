import { connectionChannels, upstreamChannels } from "@sluice/core";
import { EventLog } from "@sluice/core/testing";
import { proxyChannels } from "@sluice/proxy";
import { expect, test } from "vitest";
import { docTable } from "./support/doc-table.ts";
import { answering, OK, refusedAddress } from "./support/origin.ts";
import { get, startProxy } from "./support/proxy.ts";

const DOCUMENT = "observability.md";

/** What stands between backticks. */
const namesIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);

test("the document names every channel, and what each message holds", async () => {
  const groups = [connectionChannels, upstreamChannels, proxyChannels];
  const log = new EventLog(...groups.flatMap(Object.values));
  await using origin = await answering(OK);
  const refused = { address: await refusedAddress() };
  for (const to of [origin, refused]) {
    await using proxy = await startProxy({
      origin: to,
      logging() {
        throw new Error("boom");
      },
    });
    const client = await proxy.send(get());
    await client.message();
    await proxy.whenFinished();
    proxy.service.setAcceptFilter(() => false);
    await (await proxy.connect()).whenEnded();
  }
  await log.next("upstream:closed");
  await log.next("connection:closed");
  log[Symbol.dispose]();

  const documented = (await docTable(DOCUMENT, "channel"))
    // Those need a TLS package, which has a test of its own for them.
    .filter(([channel]) => !channel!.includes("sluice:tls:"))
    .map(([channel, , message]) => [namesIn(channel!)[0], namesIn(message!).toSorted()]);
  const published = groups
    .flatMap((group) => Object.values<{ name: string }>(group))
    .map(({ name }) => {
      const { message } = log.events.find(({ channel }) => channel === name)!;
      return [name, Object.keys(message).toSorted()];
    });
  expect(documented).toEqual(published);
});

test("the document names every member of session.timing", async () => {
  await using proxy = await startProxy({ requestFilter: (session) => session.respond(204) });
  await (await proxy.send(get())).message();
  const { timing } = (await proxy.whenFinished()).session;
  const documented = (await docTable(DOCUMENT, "member")).map(([member]) => namesIn(member!)[0]);
  expect(documented).toEqual(Object.keys(timing));
});
