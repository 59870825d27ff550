import { describe, expect, test } from "vitest";
import { call, respond, serve } from "../../test/harness.ts";
import { ResponseHeader } from "@sluice/http";
import { turn } from "../testing/index.ts";

// The end of a message leaves behind what else comes in its turn of the event loop. Until then it is as good as sent, and must be lost by
// nothing that happens meanwhile.

const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describe("a response", () => {
  /** Resolves when the app has answered, which is in the turn in which the request came: nothing has left yet. */
  const answered = async (fields?: Record<string, string>): Promise<ReturnType<typeof serve>> => {
    let done!: () => void;
    const isDone = new Promise<void>((resolve) => (done = resolve));
    const served = serve(({ session }) => {
      respond(session, 200, "answer", fields);
      queueMicrotask(done);
    });
    served.client.write(GET, "latin1");
    await isDone;
    expect(served.pair.local.writes).toEqual([]);
    return served;
  };

  test("leaves with the turn", async () => {
    const served = await answered();
    await turn();
    expect(served.pair.local.writes).toHaveLength(1);
    await served.pair.flush();
    expect(served.got.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*answer$/);
  });

  test("reaches its client when the server ends at once in the same turn", async () => {
    const served = await answered();
    served.connection.destroy();
    await served.pair.flush();
    expect(served.got.text).toMatch(/answer$/);
  });

  test("reaches its client when the connection is shut down, or the client ends its direction, in the same turn", async () => {
    for (const end of ["shutdown", "end"] as const) {
      const served = await answered();
      if (end === "shutdown") served.connection.shutdown();
      else served.connection.onEnd();
      await served.pair.flush();
      expect(served.got.text).toMatch(/answer$/);
    }
  });

  test("that closes its connection comes before the end", async () => {
    const served = serve(({ session }) => {
      session.disableKeepAlive();
      respond(session, 200, "answer");
    });
    await served.send(GET);
    expect(served.got.text).toMatch(/Connection: close\r\n\r\nanswer$/);
    expect(served.got.ended).toBe(true);
  });

  test("is not taken along when the next, of which nothing has left, is broken off", async () => {
    const served = serve(({ session }) => {
      if (served.requests.length === 1) {
        respond(session, 200, "first");
        return;
      }
      // A head that is all of its response would look whole.
      session.writeHeader(ResponseHeader.build(204), false);
      session.abort();
    });
    await served.send(GET + GET);
    expect(served.got.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*first$/);
    expect(served.got.text).not.toContain("204");
  });

  test("reaches its client when the next request gets no answer at all, or its own exchange is aborted behind it", async () => {
    for (const ends of ["abort", "return", "abort-behind"] as const) {
      const served = serve(({ session }) => {
        if (served.requests.length === 1) respond(session, 200, "first");
        if (served.requests.length === 2 ? ends === "abort" : ends === "abort-behind") session.abort();
      });
      await served.send(GET + GET);
      expect(served.got.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*first$/);
    }
  });

  test("leaves in one write with those to the requests behind it that are answered in the same turn", async () => {
    // Node queues each write by TLS but the first, and a process that ends at once loses its queue.
    const served = serve(({ session }) => respond(session, 200, `answer ${served.requests.length}`));
    served.client.write(GET.repeat(3), "latin1");
    await served.pair.flush();
    expect(served.pair.local.writes).toHaveLength(1);
    expect(served.got.text.match(/answer \d/g)).toEqual(["answer 1", "answer 2", "answer 3"]);
  });

  test("does not wait for the end of the turn in any number", async () => {
    const served = serve(({ session }) => respond(session, 200, "x".repeat(500)));
    served.client.write(GET.repeat(200), "latin1");
    await served.pair.flush();
    const { writes } = served.pair.local;
    expect(writes.length).toBeGreaterThan(1);
    for (const write of writes) expect(write.length).toBeLessThan(20_000);
    expect(served.got.text.match(/x{500}/g)).toHaveLength(200);
  });

  test("does not make the head of the next leave before its time", async () => {
    let finish!: () => void;
    const served = serve(async ({ session }) => {
      if (served.requests.length === 1) {
        respond(session, 200, "first");
        return;
      }
      session.writeHeader(ResponseHeader.build(204), false);
      await new Promise<void>((resolve) => (finish = resolve));
      expect(session.takeBack!()).toBe(true);
      respond(session, 502, "second");
    });
    await served.send(GET + GET);
    expect(served.got.text).toMatch(/first$/);
    finish();
    await served.pair.flush();
    expect(served.got.text).toMatch(/firstHTTP\/1\.1 502 Bad Gateway\r\n[^]*second$/);
  });
});

describe("a request", () => {
  const begin = (
    reused: boolean,
  ): ReturnType<typeof call> & { seen: ReturnType<ReturnType<typeof call>["request"]> } => {
    const called = call();
    const seen = called.request("GET", "none", {}, { leaves: false, reused });
    expect(called.pair.local.writes).toEqual([]);
    return { ...called, seen };
  };

  test("leaves with the turn", async () => {
    const called = begin(false);
    await turn();
    expect(called.pair.local.writes).toHaveLength(1);
    await called.pair.flush();
    expect(called.got.text).toBe(GET);
  });

  test("may be tried again, whatever its method, when its connection turns out to have ended before it left", async () => {
    const called = begin(true);
    called.origin.end();
    called.pair.step();
    await called.pair.flush();
    expect(called.seen.error).toMatchObject({ type: "ConnectionClosed", retry: true });
    expect(called.got.text).toBe("");
  });

  test("does not leave any more once it is given up", async () => {
    const called = begin(false);
    called.connection.destroy();
    await called.pair.flush();
    expect(called.got.text).toBe("");
  });

  test("that was answered before its body had left goes up whole, and the connection is used again", async () => {
    const called = call();
    const seen = called.request("POST", "content-length", { "Content-Length": 4 });
    await called.send(OK);
    called.connection.writeBody(Buffer.from("body"));
    called.connection.finishRequest();
    expect(seen.ended).toBe(true);
    called.connection.release();
    expect(called.stored).toHaveLength(1);
    called.request();
    await called.pair.flush();
    expect(called.got.text).toMatch(/^POST \/ HTTP\/1\.1\r\n[^]*\r\n\r\nbodyGET \/ HTTP\/1\.1\r\n/);
  });

  test("that was answered for the last time before its body had left goes up whole", async () => {
    const called = call();
    called.request("POST", "content-length", { "Content-Length": 4 });
    await called.send(OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    called.connection.writeBody(Buffer.from("body"));
    called.connection.finishRequest();
    called.connection.release();
    await called.pair.flush();
    expect(called.got.text).toMatch(/\r\n\r\nbody$/);
    expect(called.pair.local.destroyed).toBe(true);
  });
});
