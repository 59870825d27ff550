import { describe, expect, test } from "vitest";
import { patternBytes } from "../support/message.ts";
import { Origin } from "../support/origin.ts";
import { gate, get, startProxy } from "../support/proxy.ts";
import { ReferenceOrigin } from "../support/reference-origin.ts";
import { startTriggerProxy } from "../support/trigger-app.ts";

// What Pingora's own test_upstream.rs shows of its proxy apart from caching, shown of ours; in brackets, the name that each test
// has there. Changes of protocol are in upgrade.test.ts, other departures in decisions.test.ts.

const MIB = 1_048_576;

test("the proxy connects from the address that the configuration names [test_ip_binding]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin, {}, { client_bind_to_ipv4: ["127.0.0.2"] });
  const client = await proxy.send(get("/client_ip"));
  const answer = await client.message();
  expect([answer.status, answer.field("x-client-ip")]).toEqual([200, "127.0.0.2"]);
});

describe("an origin that answers without reading the request body", () => {
  function post(target: string, bytes: number, fields = ""): string {
    return `POST ${target} HTTP/1.1\r\nHost: test\r\nContent-Length: ${bytes}\r\n${fields}\r\n`;
  }

  test("has its answer delivered, after which the client's connection goes on, its body dropped [test_duplex]", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const client = await proxy.send(post("/duplex/", MIB), patternBytes(MIB / 2));
    const answer = await client.message();
    expect([answer.status, answer.field("connection"), answer.body.toString()]).toEqual([
      200,
      undefined,
      "A".repeat(320),
    ]);
    client.send(patternBytes(MIB / 2), get());
    expect((await client.message()).body.toString()).toBe("Hello World!\n");
    expect(origin.seen).toEqual(["POST /duplex/", "GET /"]);
  });

  test("has its answer delivered, after which the client's connection closes, if the app says nothing else", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(post("/duplex/", MIB), patternBytes(MIB / 2));
    const { status, field, body } = await client.message();
    expect([status, field("connection"), body.toString()]).toEqual([200, "close", "A".repeat(320)]);
    client.send(patternBytes(MIB / 2));
    await client.whenEnded();
    expect([client.error, (await proxy.whenFinished()).error]).toEqual([undefined, undefined]);
  });

  test("has its answer delivered in the middle of 15 MiB, which says close [test_close_on_response_before_downstream_finish]", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const body = patternBytes(15 * MIB);
    const asks = "X-Close-On-Response-Before-Downstream-Finish: 1\r\n";
    const client = await proxy.send(post("/test2", body.length, asks), body.subarray(0, MIB));
    const answer = await client.message();
    expect([answer.status, answer.field("connection"), answer.body.toString()]).toEqual([200, "close", "hello world"]);
    client.send(body.subarray(MIB));
    await client.whenEnded();
    expect(client.error).toBeUndefined();
  });

  test("and dies after its head has the head delivered, then the response cut [test_upload_connection_die]", async () => {
    const { opened, open } = gate();
    await using origin = await ReferenceOrigin.start({ wait: () => opened });
    await using proxy = await startTriggerProxy(origin);
    const body = patternBytes(15 * MIB);
    const client = await proxy.send(post("/upload_connection_die/", body.length), body.subarray(0, MIB));
    expect(await client.upTo("\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    open();
    // Neither a chunk nor the last one.
    expect((await client.rest()).toString()).toBe("");
    expect((await proxy.whenFinished()).error?.source).toBe("upstream");
  });
});

test("an upload of 15 MiB is answered when the origin has all of it [test_upload]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin);
  const body = patternBytes(15 * MIB);
  const client = await proxy.send(
    `POST /upload/ HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`,
    body,
  );
  const answer = await client.message();
  expect([answer.status, answer.field("connection"), answer.body.toString()]).toEqual([
    200,
    undefined,
    "A".repeat(320),
  ]);
});

test("an origin that dies in its body leaves a response that a client knows to be cut [test_connection_die]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin);
  const client = await proxy.send(get("/connection_die"));
  await expect(client.message()).rejects.toThrow("while waiting for");
  expect((await proxy.whenFinished()).session.responseStatus).toBe(200);
});

describe("a client that does not read a long download", () => {
  const SIZE = 32 * MIB;

  test("is cut after the time that its request was given [test_download_timeout]", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const client = (await proxy.send(get("/download_large/", "X-Write-Timeout: 0.05\r\n"))).pause();
    const { error } = await proxy.whenFinished();
    expect([error?.type, error?.source]).toEqual(["WriteTimedout", "downstream"]);
    client.resume();
    expect(await client.upTo("\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect((await client.rest()).length).toBeLessThan(128 * MIB);
  });

  test("has longer for much if a least rate is set beside it, and gets all of it [test_download_timeout_min_rate]", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const fields = `X-Set-Size: ${SIZE}\r\nX-Write-Timeout: 0.05\r\n`;
    const client = (await proxy.send(get("/file_maker", `${fields}X-Min-Rate: 10000\r\n`))).pause();
    await expect.poll(() => origin.seen.length, { interval: 1 }).toBe(1);
    // Others that have no rate, one after another, are cut for reading as little as it does.
    for (let cut = 1; cut <= 2; cut++) {
      (await proxy.send(get("/file_maker", fields))).pause();
      expect((await proxy.whenFinished(cut)).error?.type).toBe("WriteTimedout");
    }
    client.resume();
    const answer = await client.message();
    expect([answer.status, answer.body.length]).toEqual([200, SIZE]);
    expect((await proxy.whenFinished(3)).error).toBeUndefined();
  });
});

test("HEAD whose origin says 100 first gets its final head, and no body whatever the length [test_head_with_100_continue]", async () => {
  const { opened, open } = gate();
  await using origin = await Origin.start(async (connection) => {
    await connection.message();
    connection.send("HTTP/1.1 100 Continue\r\n\r\n");
    await opened;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n");
  });
  await using proxy = await startProxy({ origin });
  const client = await proxy.send("HEAD / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  expect((await client.message({ toHead: true })).status).toBe(100);
  open();
  const answer = await client.message({ toHead: true });
  expect([answer.status, answer.field("content-length")]).toEqual([200, "42"]);
  expect((await client.rest()).length).toBe(0);
});
