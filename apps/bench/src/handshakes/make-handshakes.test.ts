import { constants } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { expect, onTestFinished } from "vitest";
import { testWith } from "../../../../test/programs.ts";
import { testCertificate } from "../test-certificate.ts";
import type { HandshakeJob } from "../handshakes.ts";
import { makeHandshakes } from "./make-handshakes.ts";

const CONTENT = "Hello, world!";

/** A server with TLS, and a job that has it asked for a moment. It counts the requests. */
async function serve(
  options: SecureContextOptions = {},
  content: string = CONTENT,
): Promise<{ job: HandshakeJob; requests: () => number }> {
  const { cert, key } = await testCertificate();
  let requests = 0;
  const server = createServer({ cert, key, ...options }, (_request, response) => {
    requests++;
    response.end(content);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => server.close().closeAllConnections());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const job = { port, seconds: 0.2, connections: 3, resume: false, path: "/x", content: CONTENT, ca: cert };
  return { job, requests: () => requests };
}

testWith("openssl", "each request has a connection of its own, with a full handshake", async () => {
  const { job, requests } = await serve();
  const tally = await makeHandshakes(job);
  expect(tally.answered).toBeGreaterThanOrEqual(3);
  expect(tally).toMatchObject({ answered: requests(), resumed: 0, wrong: { count: 0 }, failed: { count: 0 } });
  expect(tally.latenciesMs).toHaveLength(tally.answered);
});

testWith("openssl", "on demand all go on with a session, but for a first one that does not count", async () => {
  const { job, requests } = await serve();
  const tally = await makeHandshakes({ ...job, resume: true });
  expect(tally).toMatchObject({ answered: requests() - 1, wrong: { count: 0 }, failed: { count: 0 } });
  expect(tally.resumed).toBe(tally.answered);
});

testWith("openssl", "a server that resumes nothing shows", async () => {
  // Its tickets hold no more than an identifier, and it remembers no session that would have it.
  const { job } = await serve({ secureOptions: constants.SSL_OP_NO_TICKET });
  const tally = await makeHandshakes({ ...job, resume: true });
  expect(tally.answered).toBeGreaterThan(0);
  expect(tally.resumed).toBe(0);
});

testWith("openssl", "wrong answers are counted and shown", async () => {
  const { job, requests } = await serve({}, "Hello, World!");
  const tally = await makeHandshakes(job);
  expect(tally).toMatchObject({ answered: 0, wrong: { count: requests() } });
  expect(tally.wrong.sample).toContain("HTTP/1.1 200 OK\r\n");
});

testWith("openssl", "a certificate of another issuer is a failed connection", async () => {
  const { job, requests } = await serve();
  const { cert } = await testCertificate();
  const tally = await makeHandshakes({ ...job, seconds: 0.05, ca: cert });
  expect(tally).toMatchObject({ answered: 0, wrong: { count: 0 } });
  expect(tally.failed.count).toBeGreaterThan(0);
  expect(tally.failed.sample).toContain("self-signed certificate");
  expect(requests()).toBe(0);
});
